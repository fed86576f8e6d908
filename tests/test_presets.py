"""Presets of published studies."""

import numpy as np
import pytest

from skmatgnn import (
    ALIGNNClassifier,
    ALIGNNRegressor,
    CGCNNRegressor,
    CrabNetRegressor,
    presets,
)
from skmatgnn.datasets import make_crystals

CASES = [
    ("ALIGNN_STUDY", ALIGNNRegressor),
    ("ALIGNN_LARGE", ALIGNNRegressor),
    ("CGCNN_2018", CGCNNRegressor),
    ("CRABNET_2021", CrabNetRegressor),
]


def test_presets__all__are_tested():
    assert sorted(name for name, _ in CASES) == sorted(presets.__all__)


@pytest.mark.parametrize(("name", "cls"), CASES)
def test_preset__unpacked__is_valid_and_can_be_overridden(name, cls):
    preset = getattr(presets, name)
    model = cls(**preset)
    model._validate_params()
    assert {key: getattr(model, key) for key in preset} == dict(preset)
    assert cls(**{**preset, "max_epochs": 3}).max_epochs == 3


@pytest.mark.parametrize(("name", "cls"), CASES)
def test_preset__cannot_be_changed_by_accident(name, cls):
    with pytest.raises(TypeError, match="does not support item assignment"):
        getattr(presets, name)["lr"] = 1.0


@pytest.mark.parametrize(("name", "cls"), CASES)
def test_preset__one_epoch_on_few_crystals__trains(name, cls):
    X, y = make_crystals(6, random_state=0, return_X_y=True)
    preset = {**getattr(presets, name), "max_epochs": 1}
    model = cls(**preset, random_state=0, device="cpu").fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_alignn_study__is_the_published_architecture():
    """As many parameters as the published model, 4,026,753, less two unused norms.

    The outputs of the last angle update and of the last edge update go nowhere.
    """
    X, y = make_crystals(3, random_state=0, return_X_y=True)
    preset = {**presets.ALIGNN_STUDY, "max_epochs": 1}
    model = ALIGNNRegressor(**preset, device="cpu").fit(X, y)
    parameters = model.net_.module_.parameters()
    assert sum(p.numel() for p in parameters) == 4_026_753 - 2 * 2 * 256


def test_alignn_study__classifier__takes_it_without_its_loss():
    preset = {k: v for k, v in presets.ALIGNN_STUDY.items() if k != "loss"}
    X, y = make_crystals(4, random_state=0, return_X_y=True)
    model = ALIGNNClassifier(**{**preset, "max_epochs": 1, "hidden_dim": 8})
    assert model.fit(X, y > np.median(y)).predict(X).dtype == bool
