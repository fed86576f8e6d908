"""Displays of transfer_matrix: ratios by source and target, errors by size."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidValueError
from skmatgnn.inspection import FineTuningCurveDisplay, TransferMatrixDisplay
from skmatgnn.model_selection import transfer_matrix

SIZES, TRIALS = (10, 100, 500), 4


@pytest.fixture(scope="module")
def frame():
    """Errors of two targets; "energy" helps most, and "gap" harms."""
    rng = np.random.default_rng(0)
    rows = []
    for target, unit in (("phonon", 300.0), ("gap", 1.0)):
        starts = {
            ("scratch", None): 1.0, ("pair", "energy"): 0.6, ("pair", "phonon"): 0.8,
            ("pair", "gap"): 1.5, ("mpt", None): 0.5, ("mpt_without_target", None): 0.7,
        }  # fmt: skip
        for (design, source), gain in starts.items():
            if source == target:
                continue
            for size in SIZES:
                for trial in range(TRIALS):
                    error = unit * gain * size**-0.5 * np.exp(0.1 * rng.normal())
                    rows.append((target, design, source, size, trial, error, error))
    columns = ["target", "design", "source", "size", "trial", "mae", "smae"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


def errors(frame, target, design, source=None, size=500):
    chosen = frame[
        (frame.target == target) & (frame.design == design) & (frame["size"] == size)
    ]
    if source is not None:
        chosen = chosen[chosen.source == source]
    return chosen.sort_values("trial").mae.to_numpy()


def test_matrix__cells__are_mean_ratios_to_scratch_trial_by_trial(frame):
    display = TransferMatrixDisplay.from_frame(frame)
    assert set(display.ratios_.index[:3]) == {"phonon", "gap", "energy"}
    assert display.ratios_.index[:2].tolist() == display.ratios_.columns.tolist()
    assert set(display.ratios_.index[3:]) == {"MPT", "MPT without target"}
    assert np.isnan(display.ratios_.loc["gap", "gap"])
    for row, design, source in (
        ("energy", "pair", "energy"),
        ("MPT without target", "mpt_without_target", None),
    ):
        ratio = errors(frame, "gap", design, source) / errors(frame, "gap", "scratch")
        assert display.ratios_.loc[row, "gap"] == pytest.approx(ratio.mean())
        ends = stats.t.interval(0.95, TRIALS - 1, ratio.mean(), stats.sem(ratio))
        found = display.low_.loc[row, "gap"], display.high_.loc[row, "gap"]
        assert found == pytest.approx(ends)
    image = display.image_.get_array()
    np.testing.assert_allclose(image, display.ratios_)
    norm = display.image_.norm
    assert norm(1.0) == pytest.approx(0.5)
    assert norm.vmin <= np.nanmin(display.ratios_)
    assert norm.vmax >= np.nanmax(display.ratios_)
    assert display.ax_.get_title() == "500 training rows"
    assert display.colorbar_.ax.get_ylabel() == "MAE / MAE from scratch"


def test_matrix__texts__say_ratio_and_spread(frame):
    display = TransferMatrixDisplay.from_frame(frame, size=10, spread="std")
    at = {
        (display.ratios_.index[round(t.get_position()[1])],
         display.ratios_.columns[round(t.get_position()[0])]): t.get_text()
        for t in display.texts_
    }  # fmt: skip
    assert len(at) == 2 * 5 - 2
    ratio = errors(frame, "phonon", "mpt", size=10) / errors(
        frame, "phonon", "scratch", size=10
    )
    assert at["MPT", "phonon"] == f"{ratio.mean():.2f}\n± {ratio.std(ddof=1):.2f}"
    low, high = (
        TransferMatrixDisplay.from_frame(frame, size=10).low_,
        TransferMatrixDisplay.from_frame(frame, size=10).high_,
    )
    text = TransferMatrixDisplay.from_frame(frame, size=10).texts_[0].get_text()
    first = np.argwhere(low.notna().to_numpy())[0]
    assert text.endswith(f"[{low.iloc[*first]:.2f}, {high.iloc[*first]:.2f}]")
    bare = TransferMatrixDisplay.from_frame(frame, include_values=False, title="T")
    assert bare.texts_ == []
    assert bare.ax_.get_title() == "T"


def test_matrix__of_one_trial__has_no_spread(frame):
    display = TransferMatrixDisplay.from_frame(frame[frame.trial == 0])
    assert display.low_.isna().all().all()
    assert all("\n" not in text.get_text() for text in display.texts_)


def test_curves__are_means_and_intervals_by_size(frame):
    display = FineTuningCurveDisplay.from_frame(frame, target="phonon", units="1/cm")
    assert set(display.curves_) == {
        "scratch", "pair: energy", "pair: gap", "MPT", "MPT without target",
    }  # fmt: skip
    for line, band, (name, curve) in zip(
        display.lines_, display.bands_, display.curves_.items(), strict=True
    ):
        assert curve.index.tolist() == list(SIZES)
        assert line.get_xdata().tolist() == list(SIZES)
        np.testing.assert_allclose(line.get_ydata(), curve["mean"])
        vertices = band.get_paths()[0].vertices
        for size, row in curve.iterrows():
            ys = vertices[np.isclose(vertices[:, 0], size), 1]
            lowest = max(row.low, 0.1 * row["mean"])
            assert (ys.min(), ys.max()) == pytest.approx((lowest, row.high))
        assert line.get_label() == name
    found = display.curves_["MPT"].loc[100]
    values = errors(frame, "phonon", "mpt", size=100)
    ends = stats.t.interval(0.95, TRIALS - 1, values.mean(), stats.sem(values))
    assert tuple(found) == pytest.approx((values.mean(), *ends))
    ax = display.ax_
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_ylabel() == "MAE (1/cm)"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "100", "500"]
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts[-1] == "95 % interval of the mean"


def test_curves__best_pair_or_none__leave_the_others_out(frame):
    best = FineTuningCurveDisplay.from_frame(
        frame, target="gap", pairs="best", spread="std", metric="smae", units="eV"
    )
    pairs = [name for name in best.curves_ if "pair" in name]
    assert pairs == ["best pair: energy"]
    values = errors(frame, "gap", "pair", "energy", 10)
    assert tuple(best.curves_[pairs[0]].loc[10]) == pytest.approx(
        (values.mean(), *(values.mean() + values.std(ddof=1) * np.array([-1, 1])))
    )
    assert best.ax_.get_ylabel() == "SMAE"
    none = FineTuningCurveDisplay.from_frame(frame, target="gap", pairs="none")
    assert set(none.curves_) == {"scratch", "MPT", "MPT without target"}
    linear = none.plot(x_scale="linear", y_scale="linear", title="Gap")
    assert (linear.ax_.get_xscale(), linear.ax_.get_title()) == ("linear", "Gap")


def test_curves__of_one_target_and_trial__need_no_choice_and_have_no_band(frame):
    one = frame[(frame.target == "gap") & (frame.trial == 0)]
    figure, ax = plt.subplots()
    display = FineTuningCurveDisplay.from_frame(
        one, ax=ax, line_kwargs={"color": "red"}
    )
    assert display.figure_ is figure
    assert display.bands_ == []
    assert {line.get_color() for line in display.lines_} == {"red"}


def test_displays__of_a_real_matrix__draw_it():
    X, y = make_crystals(30, random_state=0, return_X_y=True)
    datasets = {"energy": (X, y), "volume": (X, [x.volume for x in X])}
    model = CGCNNRegressor(node_dim=4, hidden_dim=4, n_conv_layers=1, max_epochs=1)
    found = transfer_matrix(
        datasets, model, fine_tuning_sizes=(5, 10), trials=2, test_size=0.2,
        random_state=0,
    )  # fmt: skip
    matrix = TransferMatrixDisplay.from_frame(found)
    assert matrix.ratios_.notna().to_numpy().sum() == 2 + 4
    matrix.figure_.canvas.draw()
    curves = FineTuningCurveDisplay.from_frame(found, target="volume", metric="smae")
    assert len(curves.lines_) == 4
    curves.figure_.canvas.draw()


def test_bad_input__of_any_kind__says_what_is_wrong(frame):
    tuned = frame[frame.design != "scratch"]
    for draw, given, options, match in (
        (TransferMatrixDisplay, [1], {}, "must be the DataFrame of transfer_matrix"),
        (TransferMatrixDisplay, frame.drop(columns="trial"), {}, "no columns .'trial'"),
        (TransferMatrixDisplay, frame[:0], {}, "frame has no rows"),
        (TransferMatrixDisplay, pd.concat([frame, frame]), {}, "has a fit twice"),
        (TransferMatrixDisplay, tuned, {}, "no 'scratch' models of 'gap'"),
        (TransferMatrixDisplay, frame[frame.design == "scratch"], {}, "scratch only"),
        (TransferMatrixDisplay, frame, {"size": 50}, "size must be one of .10, 100"),
        (TransferMatrixDisplay, frame, {"metric": "r2"}, "metric must be one of"),
        (TransferMatrixDisplay, frame, {"spread": "sem"}, "spread must be one of"),
        (TransferMatrixDisplay, frame, {"ax": 3}, "ax must be one matplotlib Axes"),
        (FineTuningCurveDisplay, frame, {}, "target must be one of"),
        (FineTuningCurveDisplay, frame, {"target": "x"}, "target must be one of"),
        (FineTuningCurveDisplay, frame, {"pairs": "worst"}, "pairs must be one of"),
        (FineTuningCurveDisplay, frame, {"x_scale": "sqrt"}, "x_scale must be one of"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            draw.from_frame(given, **options)


@pytest.mark.parametrize("display", [FineTuningCurveDisplay, TransferMatrixDisplay])
def test_confidence_level__in_per_cent__is_refused(frame, display):
    gap = frame[frame.target == "gap"]
    with pytest.raises(InvalidValueError, match="confidence_level must be between"):
        display.from_frame(gap, confidence_level=95)


def test_matrix__other_trials_from_scratch__nothing_can_be_compared(frame):
    other = frame.assign(trial=frame.trial + 9 * (frame.design == "scratch"))
    with pytest.raises(InvalidValueError, match="no trial with a known mae of both"):
        TransferMatrixDisplay.from_frame(other)
    some = pd.concat([frame[frame.target == "gap"], other[other.target != "gap"]])
    ratios = TransferMatrixDisplay.from_frame(some).ratios_
    assert ratios["phonon"].isna().all()
    assert ratios["gap"].notna().any()


def test_matrix__names_that_are_numbers__are_written(frame):
    names = {"gap": 1, "phonon": 2, "energy": 3}
    numbered = frame.assign(
        target=frame.target.map(names), source=frame.source.map(names)
    )
    display = TransferMatrixDisplay.from_frame(numbered)
    assert display.ax_.get_xticklabels()[0].get_text() in {"1", "2"}
