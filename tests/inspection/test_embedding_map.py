from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from sklearn.cluster import DBSCAN
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from skmatgnn.inspection import EmbeddingMapDisplay, cluster_representatives
from skmatgnn.inspection._text import pretty
from skmatgnn.model_selection import ClusterGroups

SALTS = ["NaCl", "KCl", "RbCl", "CsCl", "LiCl", "KBr", "NaBr"]
OXIDES = ["Fe2O3", "Al2O3", "Cr2O3", "V2O3"]
METALS = ["W", "Mo"]
FORMULAS = [*OXIDES, *SALTS, *METALS, "He"]
LABELS = np.array([1] * 4 + [0] * 7 + [2] * 2 + [-1])


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(14, 2)) + 6 * LABELS[:, None]


def color_of(scatter):
    return tuple(np.round(scatter.get_facecolor()[0][:3], 6))


def legend_texts(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def boxes(display):
    display.figure_.canvas.draw()
    # an Annotation's own extent includes its line
    return [Text.get_window_extent(text) for text in display.texts_]


def test_clusters__with_formulas__have_their_colour_size_and_medoid(points):
    display = EmbeddingMapDisplay.from_points(points, LABELS, formulas=FORMULAS)
    assert list(display.scatters_) == [0, 1, 2, -1]
    for label, scatter in display.scatters_.items():
        np.testing.assert_array_equal(scatter.get_offsets(), points[label == LABELS])
    colors = {label: color_of(s) for label, s in display.scatters_.items()}
    assert len(set(colors.values())) == 4
    assert np.ptp(colors[-1]) == 0
    assert all(np.ptp(color) > 0.1 for label, color in colors.items() if label >= 0)
    assert legend_texts(display) == ["0 (7)", "1 (4)", "2 (2)", "noise (1)"]
    handles = [to_rgb(h.get_color()) for h in display.legend_.legend_handles]
    np.testing.assert_allclose(handles, list(colors.values()), atol=1e-5)
    medoids = cluster_representatives(FORMULAS, LABELS)
    by_label = dict(zip(medoids.labels, medoids.indices, strict=True))
    rows = [by_label[label] for label in (0, 1, 2)]
    np.testing.assert_array_equal(display.medoids_.get_offsets(), points[rows])
    assert [t.get_text() for t in display.texts_] == [pretty(FORMULAS[r]) for r in rows]
    assert [tuple(t.xy) for t in display.texts_] == [tuple(points[r]) for r in rows]


def test_representatives__given__are_taken_as_they_are(points):
    medoids = cluster_representatives(FORMULAS, LABELS)
    display = EmbeddingMapDisplay.from_points(points, LABELS, representatives=medoids)
    assert len(display.texts_) == 3
    named = EmbeddingMapDisplay.from_points(
        points, LABELS, representatives={1: "oxides", 0: "salts"}
    )
    assert [text.get_text() for text in named.texts_] == ["salts", "oxides"]
    for text, label in zip(named.texts_, (0, 1), strict=True):
        own = points[label == LABELS]
        far = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        np.testing.assert_array_equal(text.xy, own[far.argmin()])


def test_many_clusters__beyond_max_named__are_summed_in_the_legend():
    rng = np.random.default_rng(0)
    labels = np.repeat([f"c{i}" for i in range(25)], np.arange(26, 1, -1))
    points = rng.normal(size=(len(labels), 2)) + rng.normal(
        scale=9, size=(25, 2)
    ).repeat(np.arange(26, 1, -1), axis=0)
    names = {f"c{i}": f"name {i}" for i in range(25)}
    display = EmbeddingMapDisplay.from_points(
        points, labels, representatives=names, max_named=4
    )
    assert legend_texts(display)[:2] == ["c0 (26)", "c1 (25)"]
    rest = int(np.arange(22, 1, -1).sum())
    assert legend_texts(display)[4:] == [f"21 smaller ({rest})"]
    assert [t.get_text() for t in display.texts_] == [f"name {i}" for i in range(4)]
    assert len({color_of(s) for s in display.scatters_.values()}) == 25


def test_labels__of_close_medoids__do_not_overlap_and_stay_inside():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(400, 2))
    labels = np.arange(400) % 10
    names = dict.fromkeys(range(10), "Li4Mn3Cr3(SnO8)2")
    display = EmbeddingMapDisplay.from_points(points, labels, representatives=names)
    found = boxes(display)
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))
    frame = display.ax_.get_window_extent()
    assert all(
        b.x0 > frame.x0 and b.x1 < frame.x1 and b.y0 > frame.y0 and b.y1 < frame.y1
        for b in found
    )
    legend = display.legend_.get_window_extent()
    assert legend.x0 > frame.x1
    assert legend.x1 <= display.figure_.bbox.x1


def test_legend__on_axes_without_layout_engine__is_inside(points):
    figure, (_, ax) = plt.subplots(1, 2)
    display = EmbeddingMapDisplay.from_points(points, LABELS, ax=ax, title="map")
    figure.canvas.draw()
    frame, legend = ax.get_window_extent(), display.legend_.get_window_extent()
    assert frame.x0 < legend.x0
    assert legend.x1 < frame.x1
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_title() == "map"
    bare = EmbeddingMapDisplay.from_points(points, LABELS, legend=False)
    assert bare.legend_ is None


def test_values__colour_the_points_and_leave_unknown_ones_grey(points):
    values = pd.Series(np.arange(14.0), name="Band gap")
    values[3] = np.nan
    display = EmbeddingMapDisplay.from_points(
        points, LABELS, formulas=FORMULAS, values=values, units="eV"
    )
    known = np.arange(14) != 3
    scatter = display.scatters_["values"]
    np.testing.assert_array_equal(scatter.get_array(), values[known])
    np.testing.assert_array_equal(scatter.get_offsets(), points[known])
    np.testing.assert_array_equal(
        display.scatters_["unknown"].get_offsets(), points[[3]]
    )
    assert scatter.get_clim() == tuple(np.percentile(values[known], [2, 98]))
    assert display.colorbar_.extend == "both"
    assert display.colorbar_.ax.get_ylabel() == "Band gap (eV)"
    assert display.legend_ is None
    assert len(display.texts_) == 3
    given = EmbeddingMapDisplay.from_points(
        points, values=values, value_limits=(0, 20), cmap="plasma"
    )
    assert given.scatters_["values"].get_clim() == (0, 20)
    assert given.scatters_["values"].get_cmap().name == "plasma"
    assert given.colorbar_.extend == "neither"
    assert given.texts_ == []


def test_points__without_labels__are_all_drawn_alike(points):
    display = EmbeddingMapDisplay.from_points(points)
    assert len(display.scatters_["all"].get_offsets()) == 14
    assert display.legend_ is None
    assert display.ax_.get_xlabel() == "Dimension 1"


def test_points__of_five_dimensions__are_projected_and_the_axes_say_so():
    X = np.random.default_rng(0).normal(size=(30, 5)) * [5, 3, 1, 1, 1]
    display = EmbeddingMapDisplay.from_points(X)
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(display.points_, pca.transform(X), atol=1e-9)
    share = pca.explained_variance_ratio_
    assert display.ax_.get_xlabel() == f"PC 1 ({100 * share[0]:.0f} % of variance)"
    assert display.ax_.get_ylabel() == f"PC 2 ({100 * share[1]:.0f} % of variance)"


def test_projection__by_tsne__is_reproducible_and_named():
    X = np.random.default_rng(0).normal(size=(30, 5))
    first, second = (
        EmbeddingMapDisplay.from_points(X, projection="tsne", random_state=3)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.points_, second.points_)
    assert first.points_.shape == (30, 2)
    assert first.ax_.get_xlabel() == "t-SNE 1"


def test_points__on_a_line_or_all_alike__are_drawn():
    line = EmbeddingMapDisplay.from_points(np.arange(5.0)[:, None], random_state=0)
    np.testing.assert_array_equal(line.points_[:, 0], np.arange(5))
    assert line.ax_.get_ylabel() == "Spread at random"
    alike = EmbeddingMapDisplay.from_points(np.ones((4, 3)), [0, 0, 1, 1])
    assert len(np.unique(alike.points_, axis=0)) == 1


@pytest.mark.parametrize("noise", ["own_group", "drop"])
def test_from_cluster_groups__noise__is_grey_whatever_its_group(noise):
    X = np.array([[0, 0], [0, 0.1], [0.1, 0], [5, 5], [5, 5.1], [5.1, 5], [99, -99.0]])
    groups = ClusterGroups(DBSCAN(eps=1, min_samples=2), scaler=False, noise=noise)
    display = EmbeddingMapDisplay.from_cluster_groups(
        groups.fit(X), ["NaCl", "KCl", "RbCl", "MgO", "CaO", "SrO", "He"]
    )
    assert legend_texts(display) == ["0 (3)", "1 (3)", "noise (1)"]
    np.testing.assert_array_equal(display.scatters_[-1].get_offsets(), X[[6]])
    assert [text.get_text() for text in display.texts_] == ["KCl", "CaO"]


def test_from_cluster_groups__embedded_or_not__names_the_axes():
    X = np.random.default_rng(0).normal(size=(40, 6))
    tsne = ClusterGroups(embedding="tsne", random_state=0).fit(X)
    display = EmbeddingMapDisplay.from_cluster_groups(tsne)
    assert display.ax_.get_xlabel() == "t-SNE 1"
    np.testing.assert_array_equal(display.points_, tsne.points_)
    plain = EmbeddingMapDisplay.from_cluster_groups(
        ClusterGroups(random_state=0).fit(X)
    )
    assert plain.ax_.get_xlabel().startswith("PC 1 (")
    by_tsne = EmbeddingMapDisplay.from_cluster_groups(
        ClusterGroups(random_state=0).fit(X), projection="tsne", random_state=0
    )
    assert by_tsne.ax_.get_ylabel() == "t-SNE 2"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"labels": [0, 1]}, "points has 14, labels has 2"),
        ({"formulas": FORMULAS}, "give labels too"),
        ({"labels": LABELS, "formulas": ["NaCl"]}, "formulas has 1"),
        ({"labels": LABELS, "representatives": {9: "x"}}, "None of the names"),
        ({"labels": LABELS, "representatives": "medoid"}, "mapping of label to text"),
        ({"values": [np.nan] * 14}, "None of the 14 values is known"),
        ({"values": np.arange(14), "value_limits": (2, 1)}, "the lower one first"),
        ({"projection": "mds"}, "projection must be one of"),
        ({"max_named": 0}, "max_named must be an integer of 1 or more; got 0"),
        ({"axis_names": "xy"}, "two names"),
        ({"ax": np.array([1, 2])}, "ax must be one matplotlib Axes; got ndarray"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(points, arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        EmbeddingMapDisplay.from_points(points, **arguments)


def test_bad_points_and_groups__are_errors(points):
    with pytest.raises(ValueError, match="contains NaN"):
        EmbeddingMapDisplay.from_points([[0, np.nan]])
    other = cluster_representatives(FORMULAS, LABELS)
    with pytest.raises(ValueError, match="of which it is no member"):
        EmbeddingMapDisplay.from_points(
            points, np.roll(LABELS, 5), representatives=other
        )
    with pytest.raises(TypeError, match="must be a fitted ClusterGroups; got ndarray"):
        EmbeddingMapDisplay.from_cluster_groups(LABELS, FORMULAS)
    with pytest.raises(NotFittedError):
        EmbeddingMapDisplay.from_cluster_groups(ClusterGroups())


def test_map__all_noise__is_drawn_without_medoids(points):
    display = EmbeddingMapDisplay.from_points(points, [-1] * 14, formulas=FORMULAS)
    assert list(display.scatters_) == [-1]
    assert legend_texts(display) == ["noise (14)"]
    assert display.texts_ == []
