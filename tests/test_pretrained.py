"""Networks that are installed with the package."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest
import torch

from skmatgnn import ALIGNNRegressor, load_estimator
from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidValueError
from skmatgnn.pretrained import list_pretrained, model_card, pretrained_path

NAMES = list_pretrained()
LARGEST = 20 * 2**20


def test_list__names_of_the_package():
    assert "skmatgnn/mpt-mp-small" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint__small_and_documented(name):
    assert pretrained_path(name).stat().st_size < LARGEST
    card = model_card(name)
    for word in ("CC BY 4.0", "Split", "Training", "Scores"):
        assert word in card
    model = load_estimator(name, device="cpu")
    for column in model.property_names_:
        assert re.search(rf"^\| {column} \|", card, re.MULTILINE)


def test_mpt_mp_small__elements_and_compounds__plausible_energies():
    model = load_estimator("skmatgnn/mpt-mp-small", device="cpu")
    X = make_crystals(20, random_state=0)["data"]
    predicted = model.predict(X)
    assert predicted.shape == (20, 5)
    assert np.isfinite(predicted).all()
    energy = predicted[:, list(model.property_names_).index("FE")]
    assert ((energy > -6) & (energy < 3)).all()


def test_pretrained__by_name__starts_from_all_of_the_trunk():
    X, y = make_crystals(30, random_state=0, return_X_y=True)
    model = ALIGNNRegressor(
        pretrained=NAMES[0], max_epochs=1, lr=1e-12, random_state=0, device="cpu"
    ).fit(X, y)
    source = load_estimator(NAMES[0], device="cpu").net_.module_.state_dict()
    found = model.net_.module_.state_dict()
    trunk = [name for name in found if not name.startswith("head")]
    assert len(trunk) > 50
    for name in trunk:
        torch.testing.assert_close(found[name], source[name], rtol=0, atol=1e-9)


def test_pretrained__unknown_name__lists_those_that_exist():
    with pytest.raises(
        InvalidValueError, match=r"skmatgnn/mpt-mp-small.*'\./skmatgnn/"
    ):
        load_estimator("skmatgnn/none")


def test_package_data__found_beside_the_code():
    found = {path.name for path in files("skmatgnn.pretrained").iterdir()}
    assert {"mpt-mp-small.safetensors", "mpt-mp-small.md"} <= found
