"""Deep ensembles: the same network trained from several seeds."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    clone,
    is_classifier,
    is_regressor,
)
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skmatgnn._typing import RandomState
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._base import BaseGraphEstimator
from skmatgnn.estimators._chunks import in_chunks
from skmatgnn.estimators._docs import fill_sections
from skmatgnn.estimators._scoring import MaskedRegressorMixin
from skmatgnn.estimators._wrapper import WrapperMixin, gives_std, predict_with_std
from skmatgnn.nets import TrainingInterruptedWarning
from skmatgnn.utils._seeds import MAX_SEED, seeded_clone, seeds_of
from skmatgnn.utils._sklearn import HasMethods, Interval, fit_context
from skmatgnn.utils.interrupts import count_interrupt, n_interrupts
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.warning_filters import without_warnings

__all__ = ["DeepEnsembleClassifier", "DeepEnsembleRegressor"]

FEWEST = 2  # members that have a spread

PARAMETERS = """
estimator : {kind}
    What is trained ``n_models`` times: a graph estimator, `CrabNet{task}`, a Pipeline
    that ends in one, or any other with a ``random_state``. It is cloned.
n_models : int, default={n_models}
    Members.
random_state : int, RandomState instance or None, default={random_state}
    Seed of the members' seeds, which replace every ``random_state`` of the estimator.
n_jobs : int or None, default={n_jobs}
    Members that are trained at the same time, each in a process of its own.
"""


def document(task: str) -> Any:
    text = PARAMETERS.replace("{kind}", task.lower()).replace("{task}", task)
    return fill_sections({"parameters": text})


class BaseDeepEnsemble(WrapperMixin):
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_models": [Interval(Integral, FEWEST, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        n_models: int = 5,
        random_state: RandomState = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_models = n_models
        self.random_state = random_state
        self.n_jobs = n_jobs

    _chunk_size = BaseGraphEstimator._chunk_size  # noqa: SLF001 - as the members'

    @abstractmethod
    def _require_estimator(self) -> None:
        """Reject an estimator of another task."""

    @fit_context(prefer_skip_nested_validation=False)
    @explain_lost_workers()
    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Train all members on all of the data.

        Parameters
        ----------
        X : sequence of n materials
            Whatever ``estimator`` takes.
        y : array-like of shape (n,) or (n, t)
        **fit_params : object
            For the members' ``fit``: ``sample_weight`` and ``groups``, say.

        Returns
        -------
        self
            After Ctrl-C, with a warning, of the members that were finished by then;
            where these are fewer than two, of the unfinished one's best model too.

        Raises
        ------
        InvalidTypeError
            If ``estimator`` is for another task.
        InvalidValueError
            If it has no ``random_state``, so that all members would be equal.
        """
        self._require_estimator()
        if not seeds_of(self.estimator):
            raise InvalidValueError(
                f"{type(self.estimator).__name__} has no random_state, so that all "
                "members would be equal. An ensemble needs an estimator that starts "
                "from random weights."
            )
        params = self._params_of_fit(fit_params)
        rng = check_random_state(self.random_state)
        seeds = rng.randint(MAX_SEED, size=self.n_models).tolist()
        X = _packed_once(self.estimator, X)
        self.estimators_ = self._fit_members(seeds, X, y, params)
        self._take_names(self.estimators_[0])
        return self

    def _fit_members(
        self, seeds: list[int], X: Any, y: Any, params: dict[str, Any]
    ) -> list[Any]:
        """Train one member a seed; after Ctrl-C, keep what there is."""
        done: dict[int, Any] = {}
        unfinished, before = None, n_interrupts()
        parallel = Parallel(
            n_jobs=self.n_jobs, batch_size=1, return_as="generator_unordered"
        )
        members = parallel(
            delayed(_fit_member)(number, self.estimator, seed, X, y, params)
            for number, seed in enumerate(seeds)
        )
        try:
            for number, member in members:
                if n_interrupts() > before:
                    unfinished = member
                    break
                done[number] = member
        except KeyboardInterrupt:
            if not done:
                raise
            count_interrupt()
        kept = [done[number] for number in sorted(done)]
        if len(kept) == len(seeds):
            return kept
        if len(kept) < FEWEST and unfinished is not None:
            kept.append(unfinished)
        _warn_fewer(len(kept), len(seeds), unfinished is kept[-1])
        return kept


@document("Regressor")
class DeepEnsembleRegressor(BaseDeepEnsemble, MaskedRegressorMixin, BaseEstimator):
    """Average equal networks that start from different weights.

    The mean of a few networks is nearly always more accurate than one of them, and
    their spread tells where they have not been taught. Members differ in their initial
    weights, the order of the samples and, with ``early_stopping``, the rows that are
    held out; all are trained on all of the data.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    estimators_ : list of estimators
        The members.
    n_features_in_ : int
        Only where the members have it.
    feature_names_in_ : ndarray of str
        Only where the members have it.

    See Also
    --------
    ConformalRegressor : Intervals that hold as often as they say.
    MODNetRegressor : Has an ensemble of its own, which trains in one go.

    Notes
    -----
    Graphs are made once for all members of ALIGNN or CGCNN that are given as they are;
    inside a Pipeline, each member makes its own.

    With a ``checkpoint_dir`` in ``estimator``, a fit that was stopped goes on with the
    member that it was at.

    The spread of the members is too small where they agree on what is wrong, and holds
    no noise of the targets unless the members learn it, as CrabNet does. Calibrate it
    with `ConformalRegressor`, and look at it with
    `skmatgnn.inspection.UncertaintyCalibrationDisplay`.

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", arXiv:1612.01474, section 2.4.

    Examples
    --------
    >>> from skmatgnn import CGCNNRegressor, DeepEnsembleRegressor
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = DeepEnsembleRegressor(
    ...     CGCNNRegressor(max_epochs=2), n_models=3, random_state=0
    ... )
    >>> mean, std = model.fit(X, y).predict(X[:4], return_std=True)
    >>> mean.shape, bool((std > 0).all())
    ((4,), True)
    """

    @property
    def _gives_std(self) -> bool:
        return len(self.estimators_) >= FEWEST or gives_std(self.estimators_[0])

    @in_chunks
    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict.

        Parameters
        ----------
        X : sequence of n materials
        return_std : bool, default=False
            Whether to return standard deviations, too.

        Returns
        -------
        mean : ndarray of shape (n,) or (n, t)
            Over the members.
        std : ndarray of the same shape
            Only if ``return_std``. Of the mixture of the members: their spread and,
            where they have a ``return_std`` of their own, what they predict with it,
            ``sqrt(var(means) + mean(std ** 2))``.

        Raises
        ------
        InvalidValueError
            If ``return_std`` is asked of the only member that Ctrl-C has left, which
            has no spread.
        """
        check_is_fitted(self)
        if return_std and not self._gives_std:
            raise InvalidValueError(
                "return_std=True needs two members, but training was interrupted when "
                "there was one. Fit again."
            )
        X = _graphs_of(self.estimators_[0], X)
        if not return_std:
            return np.mean([model.predict(X) for model in self.estimators_], axis=0)
        pairs = [predict_with_std(model, X) for model in self.estimators_]
        members = np.array([mean for mean, _ in pairs])
        own = [std**2 for _, std in pairs if std is not None]
        variance = members.var(axis=0)
        if own:
            variance = variance + np.mean(own, axis=0)
        return members.mean(axis=0), np.sqrt(variance)

    def _require_estimator(self) -> None:
        self._require_kind(is_regressor, "regressor")


@document("Classifier")
class DeepEnsembleClassifier(BaseDeepEnsemble, ClassifierMixin, BaseEstimator):
    """Average the probabilities of equal networks that start from different weights.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    estimators_ : list of estimators
        The members.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Only where the members have it.
    feature_names_in_ : ndarray of str
        Only where the members have it.

    See Also
    --------
    DeepEnsembleRegressor : The same for real targets.

    References
    ----------
    Lakshminarayanan, Pritzel, Blundell, "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", arXiv:1612.01474, section 2.4.

    Examples
    --------
    >>> from skmatgnn import CGCNNClassifier, DeepEnsembleClassifier
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = DeepEnsembleClassifier(
    ...     CGCNNClassifier(max_epochs=2), n_models=3, random_state=0
    ... )
    >>> model.fit(X, y > y.mean()).predict_proba(X[:4]).shape
    (4, 2)
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Train all members on all of the data.

        Parameters
        ----------
        X : sequence of n materials
            Whatever ``estimator`` takes.
        y : array-like of shape (n,)
            Class labels.
        **fit_params : object
            For the members' ``fit``: ``sample_weight`` and ``groups``, say.

        Returns
        -------
        self

        Raises
        ------
        InvalidTypeError
            If ``estimator`` is for another task.
        InvalidValueError
            If it has no ``random_state``, so that all members would be equal.
        """
        super().fit(X, y, **fit_params)
        self.classes_ = self.estimators_[0].classes_
        return self

    @in_chunks
    def predict_proba(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Probability of each class, averaged over the members.

        Parameters
        ----------
        X : sequence of n materials
        return_std : bool, default=False
            Whether to return the standard deviation over the members, too.

        Returns
        -------
        mean : ndarray of shape (n, n_classes)
            Columns in the order of ``classes_``.
        std : ndarray of the same shape
            Only if ``return_std``.
        """
        check_is_fitted(self)
        X = _graphs_of(self.estimators_[0], X)
        members = np.array([model.predict_proba(X) for model in self.estimators_])
        mean = members.mean(axis=0)
        return (mean, members.std(axis=0)) if return_std else mean

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : sequence of n materials

        Returns
        -------
        ndarray of shape (n,)
        """
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    def _require_estimator(self) -> None:
        self._require_kind(is_classifier, "classifier")


def _packed_once(estimator: Any, X: Any) -> Any:
    """Make the graphs that all members would make; a pretrained one may set them."""
    if _takes_graphs(estimator) and getattr(estimator, "pretrained", None) is None:
        estimator = clone(estimator)
        estimator._validate_params()  # noqa: SLF001
        return _graphs_of(estimator, X)
    return X


def _graphs_of(estimator: Any, X: Any) -> Any:
    if not _takes_graphs(estimator):
        return X
    reset = not hasattr(estimator, "net_")
    samples = estimator._ensure_samples(X)  # noqa: SLF001
    return estimator._to_graphs(samples, reset=reset)  # noqa: SLF001


def _takes_graphs(estimator: Any) -> bool:
    """Whether it is one of ours; a class made of one may take something else."""
    from skmatgnn import estimators

    kind = type(estimator)
    ours = getattr(estimators, kind.__name__, None) is kind
    return ours and isinstance(estimator, BaseGraphEstimator)


def _warn_fewer(n_kept: int, n_models: int, with_unfinished: bool) -> None:
    last = ", the last with its best model so far" if with_unfinished else ""
    spread = "" if n_kept >= FEWEST else " One member has no spread."
    warnings.warn(
        f"Training was interrupted; {n_kept} of {n_models} members are kept{last}."
        f"{spread}",
        TrainingInterruptedWarning,
        stacklevel=6,
    )


def _fit_member(
    number: int, estimator: Any, seed: int, X: Any, y: Any, params: dict[str, Any]
) -> tuple[int, Any]:
    model = seeded_clone(estimator, seed, replace=True)
    with without_warnings(UserWarning, "Training was interrupted"):
        return number, model.fit(X, y, **params)
