from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skmatgnn.inspection import WorkingIonDisplay

ELECTRODES = (
    Path(__file__).parents[2] / "../shared/data/electrodes_mp_2019.csv.gz"
).resolve()
LABELS = ["Na"] * 30 + ["Li"] * 200 + ["Mg"] * 30 + ["Cs"]


@pytest.fixture
def y():
    return np.random.default_rng(0).normal(3, 1, size=261)


def heights(display):
    return [bar.get_height() for bar in display.bars_]


def tick_labels(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_counts__are_sorted_bars_with_their_shares():
    display = WorkingIonDisplay.from_labels(LABELS, title="2019")
    assert display.categories_ == ["Li", "Na", "Mg", "Cs"]
    assert heights(display) == [200, 30, 30, 1]
    np.testing.assert_allclose(display.shares_, np.array([200, 30, 30, 1]) / 261)
    texts = [text.get_text() for text in display.texts_]
    assert texts == ["200\n77 %", "30\n11 %", "30\n11 %", "1\n0.4 %"]
    assert tick_labels(display.ax_) == ["Li", "Na", "Mg", "Cs"]
    assert display.ax_.get_xlabel() == "Working ion"
    assert display.ax_.get_title() == "2019"
    assert display.target_ax_ is None
    assert display.distributions_ is None


def test_target__as_boxes__has_each_ions_quantiles_below_its_bar(y):
    y = y.copy()
    y[[0, 40, 260]] = np.nan
    display = WorkingIonDisplay.from_labels(
        LABELS, pd.Series(y, name="Average voltage"), units="V"
    )
    boxes = display.distributions_
    for place, label in enumerate(["Li", "Na", "Mg"]):
        own = y[(np.array(LABELS) == label) & ~np.isnan(y)]
        box = boxes["boxes"][place].get_path().vertices
        low, middle, high = np.percentile(own, [25, 50, 75])
        assert box[:, 1].min() == pytest.approx(low)
        assert box[:, 1].max() == pytest.approx(high)
        assert box[:, 0].mean() == pytest.approx(place, abs=0.3)
        assert boxes["medians"][place].get_ydata()[0] == pytest.approx(middle)
        ends = [boxes["whiskers"][2 * place + i].get_ydata()[1] for i in (0, 1)]
        inside = own[(own >= np.percentile(own, 5)) & (own <= np.percentile(own, 95))]
        np.testing.assert_allclose(ends, [inside.min(), inside.max()])
    assert len(boxes["boxes"]) == 3
    assert heights(display) == [200, 30, 30, 1]
    assert display.target_ax_.get_ylabel() == "Average voltage (V)"
    assert display.target_ax_.get_xlim() == display.ax_.get_xlim()
    assert tick_labels(display.target_ax_) == ["Li", "Na", "Mg", "Cs"]
    assert display.target_ax_.get_xlabel() == "Working ion"
    assert display.ax_.get_xlabel() == ""


def test_target__as_violins__ends_at_the_percentiles_and_shows_medians(y):
    y = y.copy()
    y[30:32] = 500.0, -500.0
    display = WorkingIonDisplay.from_labels(LABELS, y, kind="violin")
    bodies = display.distributions_["bodies"]
    assert len(bodies) == 4
    own = y[30:230]
    vertices = bodies[0].get_paths()[0].vertices[:, 1]
    low, high = np.percentile(own, [1, 99])
    assert low <= vertices.min() < vertices.max() <= high
    medians = display.distributions_["medians"].get_offsets()
    np.testing.assert_allclose(medians[0], [0, np.median(own)])
    assert display.target_ax_.get_ylabel() == "Value"


def test_outlying_values__do_not_stretch_the_axis(y):
    wild = y.copy()
    wild[35] = 1e4
    display = WorkingIonDisplay.from_labels(LABELS, wild)
    assert display.target_ax_.get_ylim()[1] < 10
    limited = WorkingIonDisplay.from_labels(LABELS, wild, limits=(0, 50))
    assert limited.target_ax_.get_ylim() == (0, 50)


def test_target__that_is_nowhere_known__leaves_its_axes_empty():
    display = WorkingIonDisplay.from_labels(["a", "b"], [np.nan, np.nan])
    assert display.distributions_ == {}
    assert heights(display) == [1, 1]


def test_many_categories__are_merged_into_others_at_the_end(y):
    labels = np.repeat([f"family {i}" for i in range(30)], np.arange(30, 0, -1))
    display = WorkingIonDisplay.from_labels(
        labels, np.arange(len(labels)), label_name="Family", max_categories=6
    )
    assert display.categories_ == [*(f"family {i}" for i in range(5)), "others"]
    assert heights(display) == [30, 29, 28, 27, 26, sum(range(26))]
    assert display.shares_.sum() == pytest.approx(1)
    last = display.distributions_["medians"][-1].get_ydata()[0]
    assert last == pytest.approx(np.median(np.arange(140, len(labels))))
    exact = WorkingIonDisplay.from_labels(labels, max_categories=30)
    assert "others" not in exact.categories_


@pytest.mark.parametrize("log", [False, True])
def test_texts__above_bars_and_below_ticks__overlap_nothing(log):
    labels = np.repeat(
        [f"chemical family {i}" for i in range(19)], 2 ** np.arange(19) // 40 + 1
    )
    display = WorkingIonDisplay.from_labels(labels, log=log)
    display.figure_.canvas.draw()
    frame, figure = display.ax_.get_window_extent(), display.figure_.bbox
    extents = [text.get_window_extent() for text in display.texts_]
    assert not any(a.overlaps(b) for a, b in pairwise(extents))
    assert all(e.y1 <= frame.y1 and e.x1 <= figure.x1 for e in extents)
    assert all(
        label.get_window_extent().y0 >= figure.y0
        for label in display.ax_.get_xticklabels()
    )
    assert display.ax_.get_yscale() == ("log" if log else "linear")


def test_label__minus_one_or_a_number__is_a_category_too():
    display = WorkingIonDisplay.from_labels([-1, -1, 2], label_name="Cluster")
    assert tick_labels(display.ax_) == ["-1", "2"]
    assert heights(display) == [2, 1]


def test_axes__given__are_used(y):
    figure, axes = plt.subplots(2)
    display = WorkingIonDisplay.from_labels(
        LABELS, y, ax=axes, bar_kwargs={"color": "red"}
    )
    assert (display.ax_, display.target_ax_) == tuple(axes)
    assert display.figure_ is figure
    assert display.bars_[0].get_facecolor()[:3] == (1, 0, 0)


def test_electrodes__of_the_battery_explorer__have_the_known_counts():
    if not ELECTRODES.exists():
        pytest.skip(f"the electrode table {ELECTRODES.name} is not here")
    table = pd.read_csv(ELECTRODES, keep_default_na=False)
    display = WorkingIonDisplay.from_labels(table.working_ion, table.average_voltage)
    counts = table.working_ion.value_counts()
    assert display.counts_.tolist() == counts.tolist()
    assert display.counts_.sum() == 5133
    assert display.categories_[:2] == ["Li", "Ca"]
    assert np.ptp(display.target_ax_.get_ylim()) < 12


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"y": [1.0]}, "labels has 2, y has 1"),
        ({"y": ["a", "b"]}, "could not convert"),
        ({"labels": ["Li", None]}, "no label at index 1"),
        ({"labels": None}, "labels must be a sequence.*got None"),
        ({"labels": "Li"}, "one label for each sample; got str"),
        ({"labels": []}, "X is empty"),
        ({"kind": "bar"}, "kind must be one of"),
        ({"max_categories": 1}, "max_categories must be an integer of 2 or more"),
        ({"y": [1, 2], "limits": (1, 1)}, "the lower one first"),
        ({"ax": [1, 2]}, "ax must be one matplotlib Axes; got list"),
        ({"y": [1, 2], "ax": 3}, r"two axes to draw on, ax=\(counts, values\)"),
        ({"y": [1, 2], "ax": [3, 4]}, r"ax\[0\] must be one matplotlib Axes"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        WorkingIonDisplay.from_labels(**{"labels": ["Li", "Na"], **arguments})


def test_target__as_violins__of_few_values_keeps_them():
    display = WorkingIonDisplay.from_labels(["Li"] * 3, [1.0, 2.0, 4.0], kind="violin")
    (body,) = display.distributions_["bodies"]
    ends = body.get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == (1.0, 4.0)
