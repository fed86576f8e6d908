"""Class labels of any kind, probabilities and weights of classes."""

import numpy as np
import pandas as pd
import pytest

from skmatgnn.errors import InvalidValueError


def learnable(small, **parameters):
    return small.model(
        "ALIGNNClassifier", hidden_dim=16, max_epochs=100, lr=1e-2, **parameters
    )


@pytest.mark.parametrize(
    "labels",
    [["hard", "soft"], [1, 0], [True, False], [-1, 1], [2.0, 5.0], ["b", "a"]],
    ids=str,
)
def test_classifier__labels_of_any_kind__are_predicted_as_given(
    labels, classifier, data
):
    y = np.array(labels)[(data.labels == "soft").astype(int)]
    classifier.fit(data.X, y)
    assert classifier.classes_.tolist() == sorted(labels)
    assert classifier.predict(data.X).dtype == y.dtype
    assert set(classifier.predict(data.X)) <= set(labels)


def test_predict_proba__three_classes__sums_to_one_in_the_order_of_classes(
    classifier, data
):
    y = np.array(["c", "a", "b"])[np.arange(24) % 3]
    probability = classifier.fit(data.X, y).predict_proba(data.X)
    assert probability.shape == (24, 3)
    assert probability.dtype == np.float64
    assert probability.sum(axis=1) == pytest.approx(np.ones(24), abs=1e-12)
    assert (probability >= 0).all()
    most = classifier.classes_[probability.argmax(axis=1)]
    assert np.array_equal(classifier.predict(data.X), most)


def test_predict_proba__column_order__follows_the_labels_not_their_appearance(
    data, small
):
    flipped = np.where(data.labels == "hard", "z", "a")
    first = learnable(small).fit(data.X, data.labels)
    second = learnable(small).fit(data.X, flipped)
    hard, z = first.predict_proba(data.X)[:, 0], second.predict_proba(data.X)[:, 1]
    truth = data.labels == "hard"
    for probability in (hard, z):
        assert probability[truth].mean() > 0.8
        assert probability[~truth].mean() < 0.2


def test_classifier__training__learns(data, small):
    model = learnable(small).fit(data.X, data.labels)
    assert model.score(data.X, data.labels) > 0.9


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        lambda y: y.astype(str),
        lambda y: pd.Series(y, index=np.arange(24)[::-1]),
        lambda y: pd.Series(y, dtype="category"),
        lambda y: pd.Series(y, dtype="string"),
    ],
    ids=["list", "tuple", "str", "series", "category", "string"],
)
def test_classifier__any_container_of_labels__is_the_same(convert, data, small):
    model = small.model("CGCNNClassifier")
    expected = model.fit(data.X, data.labels).predict_proba(data.X)
    model.fit(data.X, convert(data.labels))
    assert np.array_equal(model.predict_proba(data.X), expected)


def test_classifier__single_class__predicts_it(classifier, data):
    classifier.fit(data.X, ["only"] * 24)
    assert classifier.predict(data.X[:2]).tolist() == ["only"] * 2
    assert classifier.predict_proba(data.X[:2]).tolist() == [[1.0], [1.0]]


def test_classifier__column_of_labels__warns_and_ravels(data, small):
    from sklearn.exceptions import DataConversionWarning

    model = small.model("CGCNNClassifier")
    expected = model.fit(data.X, data.labels).predict_proba(data.X)
    with pytest.warns(DataConversionWarning, match="1d array was expected"):
        model.fit(data.X, data.labels[:, None])
    assert np.array_equal(model.predict_proba(data.X), expected)


def test_sample_weight__zero__leaves_the_sample_out(data, small):
    model = learnable(small, batch_size=64).set_params(max_epochs=5)
    y = data.labels.copy()
    expected = model.fit(data.X[:16], y[:16]).predict_proba(data.X)
    y[16:] = np.where(y[16:] == "hard", "soft", "hard")
    model.fit(data.X, y, sample_weight=np.r_[np.ones(16), np.zeros(8)])
    assert model.predict_proba(data.X) == pytest.approx(expected, abs=1e-3)
    model.fit(data.X, y)
    assert model.predict_proba(data.X) != pytest.approx(expected, abs=1e-3)


def test_sample_weight__heavy_class__is_predicted_more(data, small):
    model = learnable(small).set_params(max_epochs=10)
    plain = model.fit(data.X, data.labels).predict_proba(data.X)[:, 1].mean()
    weight = np.where(data.labels == "soft", 20.0, 1.0)
    model.fit(data.X, data.labels, sample_weight=weight)
    assert model.predict_proba(data.X)[:, 1].mean() > plain + 0.1


def test_early_stopping__classifier__keeps_groups_together(data, small):
    model = small.model("CGCNNClassifier", early_stopping=True)
    model.fit(data.X, data.labels, groups=data.groups)
    assert "valid_loss" in model.history_[0]


def test_early_stopping__class_only_in_the_validation_part__is_known(data, small):
    y = np.array(["common"] * 23 + ["rare"])
    for seed in range(8):
        model = small.model("CGCNNClassifier", early_stopping=True, random_state=seed)
        model.set_params(validation_fraction=0.5, max_epochs=1).fit(data.X, y)
        assert model.classes_.tolist() == ["common", "rare"]


def test_classifier__continuous_target__is_refused(classifier, data):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        classifier.fit(data.X, data.y)


def test_classifier__several_columns__are_refused(classifier, data):
    with pytest.raises(ValueError, match="1d array"):
        classifier.fit(data.X, np.column_stack([data.labels] * 2))


def test_classifier__other_loss__is_refused(data, small):
    with pytest.raises(InvalidValueError, match="loss='cross_entropy'; got 'mse'"):
        small.model("CGCNNClassifier", loss="mse").fit(data.X, data.labels)
    same = small.model("CGCNNClassifier", loss="cross_entropy")
    expected = small.model("CGCNNClassifier").fit(data.X, data.labels)
    same.fit(data.X, data.labels)
    assert np.array_equal(same.predict_proba(data.X), expected.predict_proba(data.X))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_classifier__missing_label__is_refused_by_index(missing, classifier, data):
    y = data.labels.copy()
    y[7] = missing
    with pytest.raises(InvalidValueError, match="NaN or None at index 7"):
        classifier.fit(data.X, y)


def test_classifier__weights_leave_one_class__is_refused(classifier, data):
    weight = (data.labels == "hard").astype(float)
    with pytest.raises(ValueError, match="1 class is left after removing samples"):
        classifier.fit(data.X, data.labels, sample_weight=weight)
