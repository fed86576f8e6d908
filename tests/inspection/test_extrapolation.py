"""Error by distance to the training set."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from skmatgnn import make_rf_magpie
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection import ExtrapolationDisplay
from skmatgnn.model_selection import extrapolation_report


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    distance = rng.gamma(2.0, size=200)
    return pd.DataFrame(
        {
            "latent_distance": distance,
            "elmd_distance": np.round(distance),
            "error": distance + rng.exponential(size=200),
        }
    )


def test_display__parts__are_of_equal_size_and_hold_their_means(frame):
    display = ExtrapolationDisplay.from_frame(frame, n_bins=4, random_state=0)
    curve = display.curves_[""]
    assert curve["n"].tolist() == [50] * 4
    ordered = frame.sort_values("latent_distance")
    for row, start in zip(curve.itertuples(), range(0, 200, 50), strict=True):
        part = ordered.iloc[start : start + 50]
        assert row.mae == pytest.approx(part["error"].mean())
        assert row.distance == pytest.approx(part["latent_distance"].median())
        assert row.highest == part["latent_distance"].max()
        half = 1.96 * part["error"].std() / np.sqrt(50)
        assert row.low == pytest.approx(row.mae - half, rel=0.15)
        assert row.high == pytest.approx(row.mae + half, rel=0.15)
    expected = spearmanr(frame["latent_distance"], frame["error"])[0]
    assert display.correlations_[""] == pytest.approx(expected)
    (line,) = display.lines_
    np.testing.assert_allclose(line.get_xydata(), curve[["distance", "mae"]])


def test_display__ties__make_fewer_parts_and_lose_no_sample(frame):
    display = ExtrapolationDisplay.from_frame(
        frame, distance="elmd_distance", n_bins=10, random_state=0
    )
    curve = display.curves_[""]
    assert len(curve) < 10
    assert curve["n"].sum() == 200
    assert (curve["lowest"].to_numpy()[1:] > curve["highest"].to_numpy()[:-1]).all()
    same = frame.assign(elmd_distance=0.0)
    display = ExtrapolationDisplay.from_frame(same, distance="elmd_distance")
    assert display.curves_[""]["n"].tolist() == [200]
    assert np.isnan(display.correlations_[""])


def test_display__several_frames__are_named_with_their_correlations(frame):
    frames = {"random": frame, "clusters": frame.assign(error=-frame["error"])}
    display = ExtrapolationDisplay.from_frame(
        frames, random_state=0, units="eV", target_name="gap", x_scale="log"
    )
    entries = [text.get_text() for text in display.legend_.get_texts()]
    rank = display.correlations_["random"]
    assert entries[0] == f"random\nrank correlation {rank:.2f}"
    assert entries[1] == f"clusters\nrank correlation {-rank:.2f}"
    assert entries[2] == "95 % interval"
    assert display.ax_.get_ylabel() == "MAE (eV)"
    assert display.ax_.get_title() == "gap"
    assert display.ax_.get_xscale() == "log"
    assert len(display.bands_) == 2


def test_display__same_seed__draws_the_same(frame):
    ends = [
        ExtrapolationDisplay.from_frame(frame, random_state=1).curves_[""]["low"]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*ends)


def test_display__report__is_drawn_into_given_axes():
    X = ["NaCl", "KCl", "RbCl", "NaBr", "KBr", "MgO", "CaO", "SrO", "BaO", "Fe2O3"]
    model = make_rf_magpie(n_estimators=3, random_state=0)
    report = extrapolation_report(model, X, np.arange(10.0), cv=5)
    _, axes = plt.subplots(1, 2)
    for ax, distance in zip(axes, ("latent_distance", "elmd_distance"), strict=True):
        display = ExtrapolationDisplay.from_frame(
            report, distance=distance, n_bins=2, ax=ax, random_state=0
        )
        assert display.ax_ is ax
        assert display.curves_[""]["n"].sum() == 10


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"frames": [1]}, InvalidTypeError, "DataFrames of extrapolation_report"),
        ({"frames": {}}, InvalidValueError, "no report in it"),
        ({"frames": pd.DataFrame({"a": [1]})}, InvalidValueError, "no columns"),
        ({"distance": "magpie"}, InvalidValueError, "distance must be one of"),
        ({"n_bins": 0}, InvalidValueError, "n_bins must be"),
        ({"confidence_level": 95}, InvalidValueError, "between 0 and 1"),
        ({"x_scale": "sqrt"}, InvalidValueError, "x_scale must be one of"),
        ({"ax": [1]}, InvalidTypeError, "ax must be one matplotlib Axes"),
    ],
)
def test_display__unusable_arguments__are_refused(frame, changed, error, message):
    with pytest.raises(error, match=message):
        ExtrapolationDisplay.from_frame(**{"frames": frame, **changed})


def test_display__unknown_errors__are_refused(frame):
    frame.loc[3, "error"] = np.nan
    with pytest.raises(InvalidValueError, match="finite numbers"):
        ExtrapolationDisplay.from_frame(frame)
