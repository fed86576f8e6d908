import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from matminer.featurizers.base import BaseFeaturizer, MultipleFeaturizer
from matminer.featurizers.composition import (
    ElementFraction,
    ElementProperty,
    Stoichiometry,
    ValenceOrbital,
)
from matminer.featurizers.site import AGNIFingerprints
from matminer.featurizers.structure import (
    DensityFeatures,
    GlobalSymmetryFeatures,
    SiteStatsFingerprint,
)
from matminer.featurizers.structure.composite import JarvisCFID
from pymatgen.core import Composition, Lattice, Structure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_mixin_order

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers import MagpieFeatures, MatminerFeatures

FORMULAS = ["NaCl", "Fe2O3", "Ca3(PO4)2", "LiFePO4", "Fe0.5Ni0.5O"]


class Capricious(BaseFeaturizer):
    """Fails on iron, and learns the number of samples."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        self.n_seen_ = len(X)
        return self

    def featurize(self, composition):
        composition = Composition(composition)
        if "Fe" in composition:
            raise KeyError("no iron, please")
        return [composition.num_atoms * self.scale, None]

    def feature_labels(self):
        return ["atoms", "nothing"]

    def citations(self):
        return []

    def implementors(self):
        return []


class WrongLength(Capricious):
    def featurize(self, composition):
        return [1.0, 2.0, 3.0]


def nacl(a=5.6, n=1):
    structure = Structure(Lattice.cubic(a), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    return structure * (n, 1, 1)


def test_matminer__composition_featurizer__equals_direct_calls_from_any_input():
    featurizer = ValenceOrbital(props=["avg", "frac"])
    expected = [featurizer.featurize(Composition(f)) for f in FORMULAS]
    samples = [FORMULAS[0], Composition(FORMULAS[1]), *FORMULAS[2:]]
    for X in (FORMULAS, samples, pd.Series(FORMULAS), np.array(FORMULAS)[:, None]):
        out = MatminerFeatures(featurizer).fit_transform(X)
        assert out.dtype == np.float64
        np.testing.assert_allclose(out, expected)


def test_matminer__magpie_preset__equals_magpie_features():
    preset = ElementProperty.from_preset("magpie", impute_nan=False)
    wrapped = MatminerFeatures(preset).fit(FORMULAS)
    ours = MagpieFeatures().fit(FORMULAS)
    np.testing.assert_allclose(wrapped.transform(FORMULAS), ours.transform(FORMULAS))
    assert wrapped.get_feature_names_out().tolist() == list(
        ours.get_feature_names_out()
    )


def test_matminer__structures_for_a_composition_featurizer__use_their_composition():
    out = MatminerFeatures(ElementFraction()).fit_transform([nacl(), "NaCl"])
    np.testing.assert_array_equal(out[0], out[1])
    assert out.sum(axis=1).tolist() == [1.0, 1.0]


def test_matminer__structure_featurizer__takes_structures_and_atoms():
    ase = pytest.importorskip("ase", reason="ase is no core dependency")
    atoms = ase.Atoms(
        "NaCl", scaled_positions=[[0] * 3, [0.5] * 3], cell=[5.6] * 3, pbc=True
    )
    features = MatminerFeatures(DensityFeatures(desired_features=["density", "vpa"]))
    out = features.fit_transform([nacl(), atoms, nacl(n=2)])
    np.testing.assert_allclose(out, np.tile(out[:1], (3, 1)))
    assert out[0, 1] == pytest.approx(5.6**3 / 2)


def test_matminer__formula_for_a_structure_featurizer__is_rejected_with_index():
    match = r"Structure .* for DensityFeatures; got str \('NaCl'\) at index 1"
    with pytest.raises(InvalidTypeError, match=match):
        MatminerFeatures(DensityFeatures()).fit([nacl(), "NaCl"])


@pytest.mark.filterwarnings("ignore:.*OLD_ERROR_HANDLING:DeprecationWarning")
def test_matminer__text_feature__gives_an_object_array():
    features = MatminerFeatures(GlobalSymmetryFeatures()).set_output(transform="pandas")
    crystals = pd.Series([nacl()], index=["salt"])
    frame = features.fit_transform(crystals.to_frame())
    assert frame.loc["salt", "crystal_system"] == "cubic"
    assert frame.loc["salt", "spacegroup_num"] == 221


def test_matminer__failing_sample_and_raise__names_the_sample():
    features = MatminerFeatures(Capricious()).fit(FORMULAS)
    match = (
        r"Capricious .* index 1 .*Fe2O3.*KeyError: 'no iron, please'.*on_error='nan'"
    )
    with pytest.raises(InvalidValueError, match=match):
        features.transform(FORMULAS)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_matminer__failing_samples_and_nan__gives_nan_rows_and_one_warning(n_jobs):
    features = MatminerFeatures(Capricious(), on_error="nan", n_jobs=n_jobs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = features.fit_transform(FORMULAS)
    assert [w.category for w in caught] == [UserWarning]
    assert "could not featurize 3 of 5 samples" in str(caught[0].message)
    assert "index 1" in str(caught[0].message)
    assert np.isnan(out[:, 0]).tolist() == [False, True, False, True, True]
    assert out[[0, 2], 0].tolist() == [2.0, 13.0]
    assert np.isnan(out[:, 1]).all()


def test_matminer__row_of_wrong_length__is_an_error():
    features = MatminerFeatures(WrongLength()).fit(FORMULAS)
    with pytest.raises(InvalidValueError, match="3 features, but has 2 labels"):
        features.transform(FORMULAS)


def test_matminer__several_workers__equal_one_worker():
    formulas = [f"Na{i}Cl{j}" for i in range(1, 8) for j in range(1, 8)]
    one = MatminerFeatures(Stoichiometry()).fit_transform(formulas)
    two = MatminerFeatures(Stoichiometry(), n_jobs=2).fit_transform(formulas)
    np.testing.assert_array_equal(one, two)


def test_matminer__bad_formula__is_rejected_with_index_in_fit():
    with pytest.raises(InvalidValueError, match=r"index 1 .*unknown element 'Xx'"):
        MatminerFeatures(Stoichiometry()).fit(["NaCl", "Xx2O"])


def test_matminer__fit__leaves_the_given_featurizer_untouched():
    featurizer = Capricious()
    features = MatminerFeatures(featurizer).fit(FORMULAS[:3])
    assert features.featurizer_.n_seen_ == 3
    assert not hasattr(featurizer, "n_seen_")
    assert features.featurizer is featurizer


def test_matminer__clone__keeps_settings_that_matminers_clone_loses():
    featurizer = ElementProperty.from_preset("magpie")
    featurizer.set_n_jobs(1)
    original = MatminerFeatures(featurizer, n_jobs=3, on_error="nan", verbose=True)
    original.set_output(transform="pandas").fit(FORMULAS)
    copy = clone(original)
    assert copy.featurizer.n_jobs == 1
    assert copy.featurizer is not featurizer
    assert (copy.n_jobs, copy.on_error, copy.verbose) == (3, "nan", True)
    assert not hasattr(copy, "featurizer_")
    assert isinstance(
        copy.set_params(verbose=False).fit_transform(FORMULAS), pd.DataFrame
    )


def test_matminer__transform_or_names_before_fit__are_refused():
    with pytest.raises(NotFittedError):
        MatminerFeatures(Stoichiometry()).transform(FORMULAS)
    with pytest.raises(NotFittedError):
        MatminerFeatures(Stoichiometry()).get_feature_names_out()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"featurizer": "magpie"}, "'featurizer' parameter"),
        ({"on_error": "ignore"}, "'on_error' parameter"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"verbose": "no"}, "'verbose' parameter"),
    ],
)
def test_matminer__invalid_parameter__is_rejected_in_fit(parameters, match):
    features = MatminerFeatures(Stoichiometry()).set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        features.fit(FORMULAS)


def test_matminer__tags_and_mixins__are_as_sklearn_expects():
    features = MatminerFeatures(Stoichiometry())
    check_mixin_order("MatminerFeatures", features)
    assert get_tags(features).transformer_tags is not None
    assert get_tags(features).input_tags.string
    assert not get_tags(features).input_tags.two_d_array
    assert not get_tags(MatminerFeatures(DensityFeatures())).input_tags.string
    assert set(features._parameter_constraints) == set(features.get_params(deep=False))


def test_matminer__multiple_featurizer__is_taken_as_its_parts_are():
    both = MultipleFeaturizer([Stoichiometry(), ElementFraction()])
    features = MatminerFeatures(both).fit(FORMULAS)
    assert features.transform(FORMULAS).shape == (5, features.n_features_out_)
    assert features.n_features_out_ == len(both.feature_labels())
    mixed = MultipleFeaturizer([DensityFeatures(), JarvisCFID(use_cell=False)])
    assert not get_tags(MatminerFeatures(mixed)).input_tags.string


def test_matminer__progress_bar__is_shown_only_if_asked(capsys):
    MatminerFeatures(Stoichiometry()).fit_transform(FORMULAS)
    assert capsys.readouterr().err == ""
    MatminerFeatures(Stoichiometry(), verbose=True).fit_transform(FORMULAS)
    assert "Stoichiometry: 100%" in capsys.readouterr().err


def test_matminer__pickled__gives_the_same_features():
    features = MatminerFeatures(Stoichiometry()).fit(FORMULAS)
    copy = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(
        copy.transform(FORMULAS), features.transform(FORMULAS)
    )


def test_matminer__in_parallel_search__equals_serial():
    X, y = FORMULAS * 6, np.arange(30.0)
    model = make_pipeline(MatminerFeatures(Stoichiometry()), Ridge())
    serial = cross_val_score(model, X, y, cv=3, error_score="raise")
    parallel = cross_val_score(model, X, y, cv=3, n_jobs=2, error_score="raise")
    assert serial.tolist() == parallel.tolist()
    grid = {"matminerfeatures__featurizer__p_list": [(0,), (0, 2, 3)]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_[0].n_features_out_ in (1, 3)
    assert (
        search.cv_results_["mean_test_score"][0]
        != search.cv_results_["mean_test_score"][1]
    )


@pytest.mark.parametrize("several", [False, True])
def test_matminer__featurizer_of_sites__is_to_be_wrapped_before_any_sample(several):
    single = AGNIFingerprints()
    featurizer = MultipleFeaturizer([single]) if several else single
    salt = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InvalidTypeError, match=r"AGNIFinger.*SiteStatsFinger"):
        MatminerFeatures(featurizer, on_error="nan").fit([salt])
    whole = MatminerFeatures(SiteStatsFingerprint(single, stats=("mean",)))
    assert whole.fit_transform([salt]).shape == (1, len(single.feature_labels()))
