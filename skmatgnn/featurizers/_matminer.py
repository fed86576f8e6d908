"""Any matminer featurizer as a scikit-learn transformer."""

from __future__ import annotations

import warnings
from copy import deepcopy
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing import FormulaToComposition
from skmatgnn.preprocessing._formula import (
    ensure_composition_objects,
    parse_compositions,
)
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import HasMethods, StrOptions, fit_context
from skmatgnn.utils.validation import describe, to_object_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.utils import Tags

    from skmatgnn._typing import ArrayLike

__all__ = ["MatminerFeatures"]

_CHUNKS_PER_WORKER = 8
_COMPOSITION_MODULE = "matminer.featurizers.composition"
_STRUCTURE_MODULE = "matminer.featurizers.structure"
_SITE_MODULE = "matminer.featurizers.site"


class MatminerFeatures(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Use a featurizer of matminer as a scikit-learn transformer.

    The wrapper adds what matminer's featurizers lack as transformers [1]_: a float
    matrix with feature names, errors that name the sample instead of silent NaN
    rows, cloning that keeps every setting, and parallel work through joblib.

    Parameters
    ----------
    featurizer : matminer featurizer
        For compositions or structures. It is copied, never changed.
    n_jobs : int or None, default=1
        Processes for `transform`, as in joblib. The featurizer's own ``n_jobs`` is
        not used.
    on_error : {"raise", "nan"}, default="raise"
        What to do when the featurizer fails on a sample: raise an error that names
        it, or give a row of NaN and one warning for all such samples.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    featurizer_ : matminer featurizer
        The copy that has been fitted.
    n_features_out_ : int
        Number of features.

    See Also
    --------
    MagpieFeatures : The Magpie preset, hundreds of times faster.

    Notes
    -----
    For featurizers of compositions, formula strings and structures are converted
    to `pymatgen.core.Composition`; for featurizers of structures, ``ase.Atoms`` are
    converted to `pymatgen.core.Structure`. Other featurizers get the samples as they
    are. The result is float64, unless a feature is text (such as the crystal system
    of ``GlobalSymmetryFeatures``): then it is an object array.

    References
    ----------
    .. [1] L. Ward et al., "Matminer: an open source toolkit for materials data
       mining", Comput. Mater. Sci. 152, 60-69 (2018).

    Examples
    --------
    >>> from matminer.featurizers.composition import Stoichiometry
    >>> from skmatgnn.featurizers import MatminerFeatures
    >>> features = MatminerFeatures(Stoichiometry(p_list=(0, 2)))
    >>> features.fit_transform(["NaCl", "Fe2O3"]).round(3)
    array([[2.   , 0.707],
           [2.   , 0.721]])
    >>> features.get_feature_names_out().tolist()
    ['0-norm', '2-norm']
    """

    _parameter_constraints: ClassVar[dict] = {
        "featurizer": [HasMethods(["featurize", "feature_labels"])],
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        featurizer: Any,
        *,
        n_jobs: int | None = 1,
        on_error: Literal["raise", "nan"] = "raise",
        verbose: bool = False,
    ) -> None:
        self.featurizer = featurizer
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a copy of the featurizer.

        Parameters
        ----------
        X : sequence
            Formulas, compositions or structures.
        y : array-like, optional
            Passed on to the featurizer; most ignore it.

        Returns
        -------
        self
        """
        _require_whole_samples(self.featurizer)
        items = self._convert(X)
        self.featurizer_ = deepcopy(self.featurizer)
        if hasattr(self.featurizer_, "fit"):
            self.featurizer_.fit(items, y)
        self.n_features_out_ = len(self.featurizer_.feature_labels())
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : sequence
            Formulas, compositions or structures.

        Returns
        -------
        ndarray of shape (n_samples, `n_features_out_`)

        Raises
        ------
        InvalidValueError
            If the featurizer fails on a sample and ``on_error="raise"``.
        InvalidTypeError
            If a sample is of a type that the featurizer does not take.
        """
        check_is_fitted(self)
        items = self._convert(X)
        rows: list[Any] = []
        failures: dict[int, str] = {}
        for index, (row, error) in enumerate(self._results(items)):
            if error is not None:
                failures[index] = error
                if self.on_error == "raise":
                    raise InvalidValueError(self._message(items, failures))
            rows.append(row)
        if failures:
            warnings.warn(self._message(items, failures), UserWarning, stacklevel=2)
        return _matrix(rows, self.n_features_out_)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Any:
        """Names of the features, as the featurizer's labels.

        Parameters
        ----------
        input_features : ignored
            Present for the API.

        Returns
        -------
        ndarray of shape (`n_features_out_`,), dtype object
        """
        del input_features
        check_is_fitted(self)
        labels = [str(label) for label in self.featurizer_.feature_labels()]
        return np.asarray(labels, dtype=object)

    def _convert(self, X: Any) -> np.ndarray:
        kind = _input_kind(self.featurizer)
        items = ensure_composition_objects(X)
        if kind == "composition":
            parse_compositions(items)
            compositions = [getattr(item, "composition", item) for item in items]
            return FormulaToComposition().transform(to_object_array(compositions))
        if kind == "structure":
            return _ensure_structures(items, type(self.featurizer).__name__)
        return items

    def _results(self, items: np.ndarray) -> Iterator[tuple[Any, str | None]]:
        n_workers = effective_n_jobs(self.n_jobs)
        bar = tqdm(
            total=len(items),
            desc=type(self.featurizer_).__name__,
            disable=not self.verbose,
        )
        with bar:
            if n_workers == 1:
                for item in items:
                    yield _featurize(self.featurizer_, item, self.n_features_out_)
                    bar.update()
                return
            n_chunks = min(len(items), n_workers * _CHUNKS_PER_WORKER)
            chunks = Parallel(n_jobs=n_workers, return_as="generator")(
                delayed(_featurize_chunk)(self.featurizer_, chunk, self.n_features_out_)
                for chunk in np.array_split(items, n_chunks)
            )
            for chunk in chunks:
                yield from chunk
                bar.update(len(chunk))

    def _message(self, items: np.ndarray, failures: dict[int, str]) -> str:
        index, error = next(iter(failures.items()))
        sample = f"index {index} ({_short(items[index])}): {error}"
        name = type(self.featurizer_).__name__
        if self.on_error == "raise":
            return (
                f"{name} cannot featurize the sample at {sample}. Drop this sample, "
                "or set on_error='nan' to get NaN features for it."
            )
        return (
            f"{name} could not featurize {len(failures)} of {len(items)} samples; "
            f"their features are NaN. The first is at {sample}."
        )

    def __sklearn_clone__(self) -> Self:
        # sklearn's clone would rebuild the featurizer from its constructor's
        # parameters, which loses what matminer sets by methods and presets.
        params = {
            name: deepcopy(value) for name, value in self.get_params(False).items()
        }
        copy = type(self)(**params)
        for name in ("_sklearn_output_config", "_metadata_request"):
            if name in self.__dict__:
                setattr(copy, name, deepcopy(self.__dict__[name]))
        return copy

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = _input_kind(self.featurizer) == "composition"
        return tags


def _input_kind(featurizer: Any) -> Literal["composition", "structure", "any"]:
    """Tell by its module what a featurizer of matminer takes."""
    parts = getattr(featurizer, "featurizers", None)
    if isinstance(parts, list | tuple) and parts:
        kinds = {_input_kind(part) for part in parts}
        return kinds.pop() if len(kinds) == 1 else "any"
    modules = [base.__module__ for base in type(featurizer).__mro__]
    if any(module.startswith(_COMPOSITION_MODULE) for module in modules):
        return "composition"
    if any(module.startswith(_STRUCTURE_MODULE) for module in modules):
        return "structure"
    return "any"


def _require_whole_samples(featurizer: Any) -> None:
    parts = getattr(featurizer, "featurizers", None)
    for part in parts if isinstance(parts, list | tuple) else [featurizer]:
        if type(part).__module__.startswith(_SITE_MODULE):
            raise InvalidTypeError(
                f"{type(part).__name__} describes single sites, not structures. Wrap "
                "it in matminer.featurizers.structure.SiteStatsFingerprint, which "
                "gives statistics over the sites."
            )


def _ensure_structures(items: np.ndarray, name: str) -> np.ndarray:
    structures = []
    for index, item in enumerate(items):
        if hasattr(item, "get_atomic_numbers"):
            structures.append(_structure_of_atoms(item))
        elif hasattr(item, "lattice") and hasattr(item, "composition"):
            structures.append(item)
        else:
            raise InvalidTypeError(
                f"X must contain pymatgen Structure or ase.Atoms objects for {name}; "
                f"got {describe(item)} at index {index}."
            )
    return to_object_array(structures)


def _structure_of_atoms(atoms: Any) -> Any:
    from pymatgen.io.ase import AseAtomsAdaptor

    return AseAtomsAdaptor.get_structure(atoms)


def _featurize_chunk(
    featurizer: Any, items: np.ndarray, n_features: int
) -> list[tuple[Any, str | None]]:
    return [_featurize(featurizer, item, n_features) for item in items]


def _featurize(featurizer: Any, item: Any, n_features: int) -> tuple[Any, str | None]:
    try:
        row = list(featurizer.featurize(item))
    except Exception as error:  # noqa: BLE001 - matminer raises anything; all is reported
        return [np.nan] * n_features, f"{type(error).__name__}: {error}"
    if len(row) != n_features:
        reason = f"it gave {len(row)} features, but has {n_features} labels"
        return [np.nan] * n_features, reason
    return row, None


def _matrix(rows: list[list[Any]], n_features: int) -> np.ndarray:
    table = np.empty((len(rows), n_features), dtype=object)
    for index, row in enumerate(rows):
        table[index] = row
    try:
        return table.astype(np.float64)
    except (TypeError, ValueError):
        return table


def _short(item: Any) -> str:
    formula = getattr(item, "formula", None)
    return f"{type(item).__name__} {formula}" if formula else describe(item)
