import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from skmatgnn import CrabNetRegressor
from skmatgnn.inspection import AttentionDisplay

FORMULAS = ["LiFePO4", "NaCl", "Li2O", "FePO4", "MgO", "NaFeO2"]


@pytest.fixture(scope="module")
def model():
    return CrabNetRegressor(max_epochs=2, random_state=0).fit(FORMULAS, np.arange(6.0))


def entry(elements, weights, n_heads=2):
    """One composition whose second head is the transposed first."""
    weights = np.asarray(weights, dtype=float)
    stack = np.stack([weights, weights.T, weights][:n_heads])
    fractions = np.full(len(elements), 1 / len(elements))
    return {"elements": elements, "fractions": fractions, "weights": stack}


FAKE = [
    entry(("Li", "O"), [[0.2, 0.8], [0.4, 0.6]]),
    entry(("Li", "O"), [[0.6, 0.4], [0.2, 0.8]]),
    entry(("O", "Fe"), [[0.9, 0.1], [0.3, 0.7]]),
]


def image_of(display):
    return np.ma.filled(display.image_.get_array(), np.nan)


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_single_composition__is_its_own_matrix_with_fractions(model):
    display = AttentionDisplay.from_estimator(model, ["LiFePO4"])
    (found,) = model.attention(["LiFePO4"])
    np.testing.assert_allclose(image_of(display), found["weights"].mean(axis=0))
    np.testing.assert_allclose(image_of(display).sum(axis=1), 1, rtol=1e-5)
    assert display.elements_ == list(found["elements"]) == ["Li", "O", "P", "Fe"]
    rows = ["Li 0.14", "O 0.57", "P 0.14", "Fe 0.14"]
    assert tick_labels(display.ax_.yaxis) == rows
    assert tick_labels(display.ax_.xaxis) == [row.replace(" ", "\n") for row in rows]
    written = np.array([float(text.get_text()) for text in display.texts_])
    np.testing.assert_allclose(written, display.matrix_.ravel(), atol=0.0051)
    assert [text.get_position() for text in display.texts_[:2]] == [(0, 0), (1, 0)]
    assert display.colorbar_.ax.get_ylabel() == "Attention"
    assert display.n_compositions_ == 1
    assert "Attending" in display.ax_.get_ylabel()
    assert "Attended" in display.ax_.get_xlabel()


def test_layer_and_head__chosen__are_those_of_the_model(model):
    for layer in (0, -1):
        display = AttentionDisplay.from_estimator(
            model, ["LiFePO4"], layer=layer, head=1
        )
        (found,) = model.attention(["LiFePO4"], layer=layer)
        np.testing.assert_allclose(image_of(display), found["weights"][1])


def test_many_compositions__are_averaged_over_those_that_have_both():
    display = AttentionDisplay(attention=FAKE, head=0).plot()
    assert display.elements_ == ["Li", "O", "Fe"]
    expected = [
        [0.4, 0.6, np.nan],
        [0.3, (0.6 + 0.8 + 0.9) / 3, 0.1],
        [np.nan, 0.3, 0.7],
    ]
    np.testing.assert_allclose(image_of(display), expected)
    np.testing.assert_allclose(display.matrix_, expected)
    assert display.counts_.tolist() == [[2, 2, 0], [2, 3, 1], [0, 1, 1]]
    assert tick_labels(display.ax_.yaxis) == ["Li", "O", "Fe"]
    assert display.ax_.get_title() == "Mean of 3 compositions"
    assert len(display.texts_) == 7
    assert display.image_.cmap(np.ma.masked_all(1))[0].tolist() == [1, 1, 1, 1]
    mean_of_heads = AttentionDisplay(attention=FAKE).plot()
    assert mean_of_heads.matrix_[0, 1] == pytest.approx((0.6 + 0.3) / 2)


def test_elements__beyond_max_elements__are_the_rarer_ones():
    display = AttentionDisplay(attention=FAKE, head=0, max_elements=2).plot()
    assert display.elements_ == ["Li", "O"]
    np.testing.assert_allclose(display.matrix_[0], [0.4, 0.6])
    single = AttentionDisplay(attention=FAKE[:1], max_elements=1).plot()
    assert single.elements_ == ["Li", "O"]


def test_min_compositions__blanks_pairs_that_are_rarer():
    display = AttentionDisplay(attention=FAKE, head=0, min_compositions=2).plot()
    shown = ~np.isnan(display.matrix_)
    np.testing.assert_array_equal(shown, display.counts_ >= 2)
    assert image_of(display)[1, 1] == pytest.approx(2.3 / 3)


def test_relative__attention__is_one_where_it_is_even():
    even = [entry(("Li", "O", "F"), np.full((3, 3), 1 / 3)), FAKE[0]]
    display = AttentionDisplay(attention=even, head=0, relative=True).plot()
    np.testing.assert_allclose(display.matrix_[2], 1)
    assert display.matrix_[0, 1] == pytest.approx((1 + 1.6) / 2)
    assert display.colorbar_.ax.get_ylabel() == "Attention / even attention"


def test_elements__in_any_order__end_up_in_that_of_atomic_numbers():
    turned = [entry(("O", "Li"), [[0.6, 0.4], [0.8, 0.2]])]
    display = AttentionDisplay(attention=turned, head=0).plot()
    assert display.elements_ == ["Li", "O"]
    np.testing.assert_allclose(display.matrix_, [[0.2, 0.8], [0.4, 0.6]])


def test_large_matrix__has_no_numbers_and_labels_that_fit():
    rng = np.random.default_rng(0)
    symbols = ["H", "Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P"]
    symbols += ["S", "Cl", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn"]
    many = [
        entry(tuple(pair), rng.random((2, 2)))
        for pair in np.array(symbols)[rng.integers(22, size=(300, 2))]
        if pair[0] != pair[1]
    ]
    display = AttentionDisplay(attention=many).plot()
    assert display.texts_ == []
    assert display.matrix_.shape == (20, 20)
    display.figure_.canvas.draw()
    extents = [t.get_window_extent() for t in display.ax_.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(extents))


def test_text__of_a_small_matrix__is_inside_the_figure(model):
    display = AttentionDisplay.from_estimator(model, ["LiFePO4"], title="LFP")
    display.figure_.canvas.draw()
    box = display.figure_.bbox
    ax, bar = display.ax_, display.colorbar_.ax
    texts = [ax.title, ax.xaxis.label, ax.yaxis.label, bar.yaxis.label]
    for text in [*texts, *ax.get_xticklabels(), *ax.get_yticklabels()]:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 < extent.x1 <= box.x1, text
        assert box.y0 <= extent.y0 < extent.y1 <= box.y1, text
    assert display.ax_.get_title() == "LFP"
    levels = {text.get_color() for text in display.texts_}
    assert levels <= {"black", "white"}


def test_plot__on_given_axes__uses_them_and_the_limits():
    figure, (ax, _) = plt.subplots(1, 2)
    display = AttentionDisplay(attention=FAKE).plot(ax=ax, limits=(0, 2), cmap="magma")
    assert display.figure_ is figure
    assert display.image_.get_clim() == (0, 2)
    assert display.image_.get_cmap().name == "magma"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"head": 2}, "head must be from -2 to 1.*got 2"),
        ({"head": "mean"}, "head must be from -2 to 1"),
        ({"max_elements": 0}, "max_elements must be an integer of 1 or more"),
        ({"min_compositions": 0}, "min_compositions must be an integer of 1"),
        ({"min_compositions": 9}, "the largest number is 3"),
        ({"attention": []}, "attention is empty"),
        ({"attention": "LiFePO4"}, "list that attention.*got str"),
        ({"attention": [FAKE[0], {}]}, "at index 1 .*'elements'.* are missing"),
        ({"attention": [3]}, "at index 0"),
    ],
)
def test_bad_input__of_any_kind__says_what_is_wrong(arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        AttentionDisplay(**{"attention": FAKE, **arguments}).plot()


def test_from_estimator__of_a_wrong_model_or_layer__says_so(model):
    with pytest.raises(TypeError, match=r"must have.*got LinearRegression"):
        AttentionDisplay.from_estimator(LinearRegression(), FORMULAS)
    with pytest.raises(ValueError, match="layer must be from"):
        AttentionDisplay.from_estimator(model, FORMULAS, layer=99)
    with pytest.raises(TypeError, match="bare str"):
        AttentionDisplay.from_estimator(model, "LiFePO4")
