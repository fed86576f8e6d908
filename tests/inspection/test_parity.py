from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import KFold, ShuffleSplit, cross_val_predict

from skmatgnn.errors import InvalidTypeError
from skmatgnn.inspection import EmbeddingMapDisplay, ParityDisplay
from skmatgnn.metrics import scaled_mean_absolute_error
from skmatgnn.model_selection import LeaveOneClusterOut


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    y_true = rng.gamma(2, size=80)
    return y_true, y_true + rng.normal(0, 0.3, size=80)


class WithStd(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X, return_std=False):
        mean = np.asarray(X)[:, 0] * 2.0
        return (mean, np.full(len(mean), 0.25)) if return_std else mean


def offsets(display):
    return np.concatenate([np.asarray(p.get_offsets()) for p in display.points_])


def line_ends(display):
    display.figure_.canvas.draw()
    path = display.line_.get_path()
    return display.line_.get_transform().transform(path.vertices)


def corners(ax):
    return ax.transAxes.transform([[0, 0], [1, 1]])


def texts_inside_figure(display):
    display.figure_.canvas.draw()
    box = display.figure_.bbox
    artists = [display.ax_.xaxis.label, display.ax_.yaxis.label, display.ax_.title]
    artists += [t for t in (display.text_, display.legend_) if t is not None]
    artists += [a.yaxis.label for a in display.figure_.axes]
    extents = [
        artist.get_window_extent()
        for artist in artists
        if not hasattr(artist, "get_text") or artist.get_text()
    ]
    return all(
        e.x0 >= box.x0 - 1
        and e.y0 >= box.y0 - 1
        and e.x1 <= box.x1 + 1
        and e.y1 <= box.y1 + 1
        for e in extents
    )


def test_from_predictions__plain_pairs__draws_every_one_and_writes_the_errors(pairs):
    y_true, y_pred = pairs
    display = ParityDisplay.from_predictions(
        y_true, y_pred, target_name="Band gap", units="eV"
    )
    np.testing.assert_allclose(offsets(display), np.column_stack(pairs))
    assert display.mae_ == mean_absolute_error(y_true, y_pred)
    assert display.r2_ == r2_score(y_true, y_pred)
    assert display.smae_ == scaled_mean_absolute_error(y_true, y_pred)
    assert display.text_.get_text() == (
        f"MAE {display.mae_:.3f} eV\nR² {display.r2_:.3f}\n"
        f"SMAE {display.smae_:.3f}\nn = 80"
    )
    assert display.ax_.get_xlabel() == "True band gap (eV)"
    assert display.ax_.get_ylabel() == "Predicted band gap (eV)"
    assert display.legend_ is None
    assert texts_inside_figure(display)


def test_axes__of_any_plot__are_equal_with_the_identity_from_corner_to_corner(pairs):
    display = ParityDisplay.from_predictions(*pairs)
    ax = display.ax_
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_aspect() == 1.0
    np.testing.assert_array_equal(ax.get_xticks(), ax.get_yticks())
    np.testing.assert_allclose(line_ends(display), corners(ax))
    low, high = ax.get_xlim()
    assert (offsets(display) > low).all()
    assert (offsets(display) < high).all()
    display.figure_.canvas.draw()
    box = ax.get_window_extent()
    assert box.width == pytest.approx(box.height, rel=0.01)


def test_y_train__given__is_the_control_of_the_smae(pairs):
    y_true, y_pred = pairs
    display = ParityDisplay.from_predictions(y_true, y_pred, y_train=[0.0, 2.0])
    assert display.smae_ == scaled_mean_absolute_error(
        y_true, y_pred, y_train=[0.0, 2.0]
    )


@pytest.mark.parametrize("baseline", [1.5, [1.5]])
def test_baseline__a_number__is_the_control_of_the_smae(pairs, baseline):
    display = ParityDisplay.from_predictions(*pairs, baseline=baseline)
    assert display.smae_ == scaled_mean_absolute_error(*pairs, baseline=1.5)


def test_baseline__of_each_sample__goes_along_with_its_pair(pairs):
    y_true, y_pred = pairs[0], pairs[1].copy()
    y_pred[[7, 9]] = np.nan
    baseline = np.linspace(1, 3, 80)
    baseline[7] = np.nan
    keep = ~np.isnan(y_pred)
    display = ParityDisplay.from_predictions(
        y_true, y_pred, baseline=pd.Series(baseline)
    )
    assert display.smae_ == scaled_mean_absolute_error(
        y_true[keep], y_pred[keep], baseline=baseline[keep]
    )


def test_baseline__of_a_dummy_on_the_folds__is_that_of_the_whole_table():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    control = cross_val_predict(DummyRegressor(), X, y, cv=KFold(3))
    display = ParityDisplay.from_cross_validation(
        DummyRegressor(), X, y, cv=KFold(3), baseline=control, limits=(-3, 3)
    )
    assert display.smae_ == pytest.approx(1.0)
    assert display.ax_.get_xlim() == (-3, 3)


def test_single_pair__with_a_control__has_an_smae_but_no_r2():
    display = ParityDisplay.from_predictions([4.0], [3.0], y_train=[1.0, 3.0])
    assert display.smae_ == 0.5
    assert np.isnan(display.r2_)


def test_nan_pairs__in_either__are_left_out_with_their_bars_and_groups(pairs):
    y_true, y_pred = (values.copy() for values in pairs)
    y_true[3], y_pred[[7, 9]] = np.nan, np.nan
    groups = np.array(["b"] * 40 + ["a"] * 40)
    display = ParityDisplay.from_predictions(
        y_true, y_pred, y_std=np.ones(80), groups=groups
    )
    keep = ~np.isin(np.arange(80), [3, 7, 9])
    assert display.n_shown_ == 77
    assert [len(p.get_offsets()) for p in display.points_] == [40, 37]
    assert [len(bars.get_segments()) for bars in display.errorbars_] == [40, 37]
    assert display.mae_ == mean_absolute_error(y_true[keep], y_pred[keep])
    assert "n = 77" in display.text_.get_text()


def test_error_bars__of_y_std__have_its_length(pairs):
    std = np.linspace(0.1, 0.4, 80)
    display = ParityDisplay.from_predictions(*pairs, y_std=std)
    segments = np.array(display.errorbars_[0].get_segments())
    np.testing.assert_allclose(np.ptp(segments[:, :, 1], axis=1), 2 * std)
    wild = ParityDisplay.from_predictions(*pairs, y_std=std * 1e6)
    assert np.ptp(wild.ax_.get_ylim()) < 2 * np.ptp(offsets(wild))


def test_groups__up_to_ten__have_a_legend_in_natural_order(pairs):
    folds = np.array([f"fold {i % 10 + 1}" for i in range(80)])
    display = ParityDisplay.from_predictions(*pairs, groups=folds)
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == [f"fold {i}" for i in range(1, 11)]
    colors = {tuple(p.get_facecolor()[0][:3]) for p in display.points_}
    assert len(colors) == 10
    assert texts_inside_figure(display)


def test_groups__colours__are_those_of_the_map_of_the_same_clusters(pairs):
    labels = np.arange(80) % 9
    parity = ParityDisplay.from_predictions(*pairs, groups=labels)
    clusters = EmbeddingMapDisplay.from_points(np.column_stack(pairs), labels)
    found = [p.get_facecolor()[0][:3] for p in parity.points_]
    expected = [clusters.scatters_[i].get_facecolor()[0][:3] for i in range(9)]
    np.testing.assert_allclose(found, expected)


def test_groups__more_than_ten__have_colours_and_a_count_but_no_legend(pairs):
    display = ParityDisplay.from_predictions(*pairs, groups=np.arange(80) % 12)
    assert display.legend_ is None
    assert "12 groups" in display.text_.get_text()
    assert len({tuple(p.get_facecolor()[0][:3]) for p in display.points_}) == 12


def test_groups__a_single_one__has_no_legend(pairs):
    display = ParityDisplay.from_predictions(*pairs, groups=["only"] * 80)
    assert display.legend_ is None


def test_many_points__without_groups__become_bins_that_hold_them_all():
    rng = np.random.default_rng(0)
    y = rng.normal(size=6000)
    display = ParityDisplay.from_predictions(y, y + rng.normal(size=6000) / 9)
    assert display.points_[0].get_array().sum() == 6000
    assert texts_inside_figure(display)
    assert display.figure_.axes[1].get_ylabel() == "Samples per bin"
    scatter = ParityDisplay.from_predictions(y, y, kind="scatter")
    assert len(offsets(scatter)) == 6000
    few = ParityDisplay.from_predictions(y[:50], y[:50])
    assert scatter.points_[0].get_alpha() < few.points_[0].get_alpha()
    assert scatter.points_[0].get_sizes() < few.points_[0].get_sizes()


def test_limits__given__are_those_of_both_axes_and_of_the_line(pairs):
    axes = plt.subplots(1, 2)[1]
    for ax, shift in zip(axes, (0, 5), strict=True):
        display = ParityDisplay.from_predictions(
            pairs[0], pairs[1] + shift, ax=ax, limits=[-2, 14]
        )
        np.testing.assert_allclose(line_ends(display), corners(ax))
    for end in ("xlim", "ylim", "xticks", "yticks"):
        left, right = (plt.getp(ax, end) for ax in axes)
        np.testing.assert_array_equal(left, right)
    assert axes[0].get_xlim() == axes[0].get_ylim() == (-2, 14)
    assert "outside" not in display.text_.get_text()
    model = WithStd().fit(None, None)
    by_model = ParityDisplay.from_estimator(
        model, [[1.0], [2.0]], [1, 2], limits=(0, 9)
    )
    assert by_model.ax_.get_ylim() == (0, 9)


def test_limits__that_hide_pairs__leave_the_errors_and_are_told():
    display = ParityDisplay.from_predictions(
        [0.0, 1.0, 2.0, 9.0], [0.0, 1.5, -7.0, 9.5], limits=(-1, 3)
    )
    assert display.text_.get_text().endswith("n = 4 (2 outside)")
    assert display.mae_ == 2.5


def test_limits__of_bins__are_the_extent_of_the_grid():
    y = np.linspace(0, 1, 6000)
    bins = [
        ParityDisplay.from_predictions(y, y * scale, limits=(-1, 3)).points_[0]
        for scale in (1, 2)
    ]
    heights = [np.ptp(each.get_paths()[0].vertices[:, 1]) for each in bins]
    assert heights[0] == pytest.approx(heights[1])


@pytest.mark.parametrize("ends", [(0.0, 40.0), (-1.0, 1.0), (123456.0, 123457.5)])
def test_limits__set_on_the_axes_afterwards__move_the_ticks_and_the_line(pairs, ends):
    display = ParityDisplay.from_predictions(*pairs)
    display.ax_.set(xlim=ends, ylim=ends)
    np.testing.assert_allclose(line_ends(display), corners(display.ax_))
    ticks = display.ax_.get_xticks()
    np.testing.assert_array_equal(ticks, display.ax_.get_yticks())
    assert 3 <= ((ticks >= ends[0]) & (ticks <= ends[1])).sum() <= 8
    shown = [
        label.get_window_extent()
        for label in display.ax_.get_xticklabels()
        if ends[0] <= label.get_position()[0] <= ends[1]
    ]
    assert all(a.x1 < b.x0 for a, b in pairwise(shown))


def test_logarithmic_scales__set_afterwards__keep_the_line_on_the_diagonal():
    display = ParityDisplay.from_predictions([0.1, 1.0, 50.0], [0.2, 0.9, 60.0])
    display.ax_.set(xscale="log", yscale="log", xlim=(0.1, 100), ylim=(0.1, 100))
    np.testing.assert_allclose(line_ends(display), corners(display.ax_))


def test_text__where_points_fill_the_upper_left__moves_to_the_lower_right():
    low_right = ParityDisplay.from_predictions([0, 0.1, 0.2, 1], [1, 0.9, 1, 1])
    up_left = ParityDisplay.from_predictions([1, 0.9, 0.8, 0], [0, 0.1, 0.2, 0])
    assert low_right.text_.get_ha() == "right"
    assert up_left.text_.get_ha() == "left"


@pytest.mark.parametrize("values", [[2.0], [3.0, 3.0], [0.0, 0.0]])
def test_degenerate_targets__single_or_constant__draw_without_r2(values):
    display = ParityDisplay.from_predictions(values, values)
    assert np.isnan(display.r2_)
    assert np.isnan(display.smae_)
    assert display.text_.get_text() == f"MAE 0\nn = {len(values)}"
    assert np.ptp(display.ax_.get_xlim()) > 0


@pytest.mark.parametrize(
    ("scale", "text"),
    [(1e-7, "1e-07"), (0.002, "0.00200"), (4.5678, "4.57"), (12345.6, "12,346")],
)
def test_mae__of_any_size__has_three_digits(scale, text):
    display = ParityDisplay.from_predictions([0.0, 2 * scale], [scale, scale])
    assert display.text_.get_text().split("\n")[0] == f"MAE {text}"


def test_large_offset__is_written_into_the_tick_labels():
    y = 1e5 + np.arange(5.0)
    display = ParityDisplay.from_predictions(y, y)
    display.figure_.canvas.draw()
    assert display.ax_.xaxis.get_offset_text().get_text() == ""


def test_series_name__of_y_true__names_the_property(pairs):
    series = pd.Series(pairs[0], name="Voltage", index=np.arange(80)[::-1])
    display = ParityDisplay.from_predictions(series, pairs[1])
    assert display.ax_.get_xlabel() == "True voltage"
    assert (
        ParityDisplay.from_predictions(
            series, pairs[1], target_name="MAE"
        ).ax_.get_xlabel()
        == "True MAE"
    )


def test_plot__given_axes_and_styles__uses_them(pairs):
    figure, (_, ax) = plt.subplots(1, 2)
    display = ParityDisplay(y_true=pairs[0], y_pred=pairs[1])
    assert (
        display.plot(
            ax=ax,
            metrics=False,
            title="RF",
            scatter_kwargs={"c": pairs[0], "marker": "s"},
            line_kwargs={"color": "red"},
        )
        is display
    )
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.text_ is None
    assert ax.get_title() == "RF"
    assert display.line_.get_color() == "red"


def test_from_estimator__with_std__draws_its_bars():
    X = np.arange(10.0)[:, None]
    model = WithStd().fit(X, X[:, 0])
    display = ParityDisplay.from_estimator(
        model, X, X[:, 0], return_std=True, units="V"
    )
    np.testing.assert_array_equal(offsets(display)[:, 1], X[:, 0] * 2)
    assert len(display.errorbars_) == 1
    assert not ParityDisplay.from_estimator(model, X, X[:, 0]).errorbars_


def test_from_cross_validation__folds__are_out_of_fold_and_coloured():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    display = ParityDisplay.from_cross_validation(LinearRegression(), X, y, cv=KFold(3))
    expected = np.empty(30)
    for train, test in KFold(3).split(X):
        expected[test] = LinearRegression().fit(X[train], y[train]).predict(X[test])
    np.testing.assert_allclose(display.y_pred, expected)
    assert [len(p.get_offsets()) for p in display.points_] == [10, 10, 10]
    legend = [text.get_text() for text in display.legend_.get_texts()]
    assert legend == ["fold 0", "fold 1", "fold 2"]


def test_from_cross_validation__untested_samples__are_left_out():
    groups = np.array([0, 0, 0, 1, 1, 1, 2, -1])
    X, y = np.arange(8.0)[:, None], np.arange(8.0)
    display = ParityDisplay.from_cross_validation(
        LinearRegression(),
        list(X),
        y,
        cv=LeaveOneClusterOut(min_size=2),
        groups=groups,
        color_by=["a", "b"] * 4,
    )
    assert display.n_shown_ == 6
    legend = [text.get_text() for text in display.legend_.get_texts()]
    assert legend == ["a", "b"]


def test_from_cross_validation__repeated_tests__are_refused():
    with pytest.raises(ValueError, match="in more than one test set"):
        ParityDisplay.from_cross_validation(
            LinearRegression(),
            np.eye(6),
            np.arange(6.0),
            cv=ShuffleSplit(4, random_state=0),
        )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y_true": [1, 2, 3], "y_pred": [1, 2]}, "y_true has 3, y_pred has 2"),
        ({"y_true": [1, 2], "y_pred": [1, 2], "groups": [1]}, "groups has 1"),
        ({"y_true": [np.nan], "y_pred": [1]}, "None of the 1 pairs"),
        ({"y_true": [1, np.inf], "y_pred": [1, 2]}, "y_true contains infinity"),
        ({"y_true": np.eye(2), "y_pred": np.eye(2)}, r"y_true=Y\[:, 0\]"),
        ({"y_true": [1, 2], "y_pred": [1, 2], "y_std": [1, -1]}, "not be negative"),
        ({"y_true": ["a", "b"], "y_pred": [1, 2]}, "could not convert"),
        ({"y_true": [None, {}], "y_pred": [1, 2]}, "y_true must be numbers"),
        (
            {"y_true": [1], "y_pred": [1], "groups": [0], "kind": "hexbin"},
            "shows neither groups nor y_std",
        ),
        ({"y_true": [1], "y_pred": [1], "kind": "dots"}, "kind must be one of"),
        ({"y_true": [1], "y_pred": [1], "ax": [1]}, "ax must be one matplotlib Axes"),
        (
            {"y_true": [1, 2], "y_pred": [1, 2], "y_train": [1], "baseline": 1},
            "give only one of them",
        ),
        (
            {"y_true": [1, 2, 3], "y_pred": [1, 2, 3], "baseline": [1, 2]},
            "baseline has 2",
        ),
        (
            {"y_true": [np.nan, 2], "y_pred": [1, 2], "baseline": [1, np.nan]},
            "baseline is NaN at index 1",
        ),
        ({"y_true": [1], "y_pred": [1], "limits": (2, 1)}, "the lower one first"),
        ({"y_true": [1], "y_pred": [1], "limits": (0, np.inf)}, "finite"),
        ({"y_true": [1], "y_pred": [1], "limits": 3}, r"two numbers.*got int"),
        ({"y_true": [1], "y_pred": [1], "limits": (0, 1, 2)}, "two numbers"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        ParityDisplay.from_predictions(**arguments)


def test_saved_picture__of_many_groups__has_ink_in_the_axes(pairs, tmp_path):
    display = ParityDisplay.from_predictions(*pairs, groups=np.arange(80) % 3)
    display.figure_.savefig(tmp_path / "parity.png", dpi=60)
    picture = plt.imread(tmp_path / "parity.png")[..., :3]
    saturated = np.ptp(picture, axis=-1) > 0.2
    assert 0.003 < saturated.mean() < 0.3


def test_groups__names_that_matplotlib_reads_otherwise__are_in_the_legend(pairs):
    names = ["_hidden", "$open{", "plain"]
    groups = np.resize(names, len(pairs[0]))
    display = ParityDisplay.from_predictions(*pairs, groups=groups)
    display.figure_.canvas.draw()
    shown = [text.get_text().replace("\\", "") for text in display.legend_.get_texts()]
    assert sorted(shown) == sorted(names)


def test_groups__a_bare_label__is_named(pairs):
    with pytest.raises(InvalidTypeError, match=r"groups must have one label.*'a'"):
        ParityDisplay.from_predictions(*pairs, groups="a")


def test_pairs__masked_array__are_left_out_where_masked():
    hidden = np.ma.array([1.0, 2.0, 9.0], mask=[False, False, True])
    display = ParityDisplay.from_predictions(hidden, [1.0, 2.5, 0.0])
    assert display.n_shown_ == 2
    assert display.mae_ == 0.25
