"""Selection of features that tell much about the target and little that is known."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_memory, validate_data
from tqdm.auto import tqdm

from skmatgnn.errors import InvalidValueError
from skmatgnn.feature_selection._cross import (
    CrossInformation,
    all_pairs,
    scale_features,
    self_information,
)
from skmatgnn.feature_selection._mutual_info import Digamma
from skmatgnn.feature_selection._ranking import (
    dynamic_c,
    dynamic_p,
    merge_rankings,
    rank_features,
    schedule_value,
)
from skmatgnn.feature_selection._targets import Target, ensure_targets, target_nmi
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import HasMethods, Interval, StrOptions, fit_context
from skmatgnn.utils.validation import require_consistent_length

if TYPE_CHECKING:
    from joblib import Memory
    from sklearn.utils import Tags

    from skmatgnn._typing import FloatArray, IntArray, RandomState

__all__ = ["RelevanceRedundancySelector"]


class RelevanceRedundancySelector(DocLinkMixin, SelectorMixin, BaseEstimator):
    r"""Select features by relevance to the target over redundancy, as MODNet does.

    The normalised mutual information of two variables is their mutual information
    over the mean of their self-informations. The first feature is the one that
    shares most with the target ``y``; each next one, ``i``, maximises the smallest of
    ``NMI(i, y) / (NMI(i, j)^p + c)`` over the features ``j`` chosen so far [1]_. With
    several targets each has a ranking, and the selection takes the best of each in
    turn, in the order of the targets.

    Parameters
    ----------
    n_features : int or None, default=64
        How many to select; all that are not dropped if None or more than there are.
    n_neighbors : int, default=3
        Neighbours of the estimator of mutual information.
    drop_threshold : float, default=0.2
        Features with less self-information (in nats) are never selected. Constant
        features never are.
    n_samples : int or None, default=6000
        Larger data are sampled down to this number of rows, without replacement.
        None uses all.
    p : "dynamic", float or callable, default="dynamic"
        Exponent of the score: a constant, or a function of the number n of features
        chosen so far. "dynamic" is :math:`\max(0.1, 4.5 - 0.4 n^{0.4})`.
    c : "dynamic", float or callable, default="dynamic"
        Term of the score, likewise. "dynamic" is :math:`\min(10^5, 10^{-6} n^3)`.
    count_from : {0, 1}, default=1
        The n of ``p`` and ``c`` when the second feature is chosen. 1 counts the
        features chosen so far, as modnet's scikit-learn class does; 0 is what its
        data class does, where the first c is 0 and a feature without measurable
        redundancy wins whatever its relevance.
    discrete_target : bool, default=False
        Whether the targets are classes.
    memory : str, joblib.Memory or None, default=None
        Cache of the information that features share with each other, which does not
        depend on the targets. All pairs are then computed, so that fits with other
        targets or settings of the ranking on the same rows find them. It needs an
        integer ``random_state``.
    n_jobs : int, optional
        Processes, as in joblib. With more than one all pairs are computed. One
        process without ``memory`` computes only the pairs that the ranking needs.
    random_state : int, RandomState or None, default=None
        Draws the rows, and the jitter that breaks ties between values.
    verbose : bool, default=False
        Show a progress bar over the pairs of features.

    Attributes
    ----------
    ranking_ : ndarray of shape (n_ranked,)
        Indices of the selected features, best first.
    target_nmi_ : ndarray of shape (`n_features_in_`, n_targets)
        Normalised information about each target, from rows given to `fit` only;
        NaN for dropped features.
    cross_nmi_ : ndarray of shape (`n_features_in_`, `n_features_in_`)
        Normalised information between features; NaN for dropped features and for
        pairs that the ranking did not need.
    self_information_ : ndarray of shape (`n_features_in_`,)
        In nats.
    target_rankings_ : list of ndarray
        The ranking of each target.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only where X has feature names.

    See Also
    --------
    mutual_information : The estimator of mutual information.

    Notes
    -----
    NaN in X is allowed: features are brought to the range -0.5 to 0.5, and NaN is -1,
    a level of its own. Those values serve the ranking only; `transform` returns
    columns of X as they are, in their order in X. NaN in a 2-D y means not known, and
    leaves the row out for that target.

    References
    ----------
    .. [1] P.-P. De Breuck, G. Hautier, G.-M. Rignanese, "Materials property
       prediction for limited datasets enabled by feature selection and joint
       learning with MODNet", npj Comput. Mater. 7, 83 (2021), equations 1-5.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.feature_selection import RelevanceRedundancySelector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> X[:, 1] = X[:, 0] + 0.01 * X[:, 1]
    >>> y = X[:, 0] + 0.5 * X[:, 3]
    >>> selector = RelevanceRedundancySelector(n_features=2, random_state=0).fit(X, y)
    >>> sorted(selector.ranking_.tolist())[-1], selector.transform(X).shape
    (3, (300, 2))
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_features": [Interval(Integral, 1, None, closed="left"), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "drop_threshold": [Interval(Real, 0, None, closed="left")],
        "n_samples": [Interval(Integral, 2, None, closed="left"), None],
        "p": [
            StrOptions({"dynamic"}),
            Interval(Real, 0, None, closed="neither"),
            callable,
        ],
        "c": [
            StrOptions({"dynamic"}),
            Interval(Real, 0, None, closed="left"),
            callable,
        ],
        "count_from": [Interval(Integral, 0, 1, closed="both")],
        "discrete_target": ["boolean"],
        "memory": [str, HasMethods("cache"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_features: int | None = 64,
        n_neighbors: int = 3,
        drop_threshold: float = 0.2,
        n_samples: int | None = 6000,
        p: float | Callable[[int], float] | Literal["dynamic"] = "dynamic",
        c: float | Callable[[int], float] | Literal["dynamic"] = "dynamic",
        count_from: int = 1,
        discrete_target: bool = False,
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        self.n_features = n_features
        self.n_neighbors = n_neighbors
        self.drop_threshold = drop_threshold
        self.n_samples = n_samples
        self.p = p
        self.c = c
        self.count_from = count_from
        self.discrete_target = discrete_target
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> Self:
        """Rank the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers; NaN is allowed.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The targets.

        Returns
        -------
        self

        Raises
        ------
        InvalidValueError
            If X and y do not fit each other or cannot be used.
        """
        X = validate_data(
            self,
            X,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
        )
        targets = ensure_targets(y, discrete=self.discrete_target, estimator=self)
        require_consistent_length(X=X, y=targets[0].values)
        generator = check_random_state(self.random_state)
        seed = int(generator.randint(2**31 - 1))
        rows = self._sample(len(X), generator)
        features = scale_features(X[rows])
        k = min(self.n_neighbors, len(rows) - 1)
        cross = self._cross(features, k, seed)
        self.self_information_ = cross.self_information
        self.target_nmi_ = self._relevance(features, targets, rows, cross, k, seed)
        self._rank(cross)
        self.cross_nmi_ = cross.normalised()
        return self

    def _sample(self, n: int, generator: np.random.RandomState) -> IntArray:
        if self.n_samples is None or n <= self.n_samples:
            return np.arange(n)
        return np.sort(generator.permutation(n)[: self.n_samples])

    def _cross(self, features: FloatArray, k: int, seed: int) -> CrossInformation:
        if self.memory is not None or effective_n_jobs(self.n_jobs) > 1:
            compute = check_memory(self.memory).cache(
                all_pairs, ignore=["n_jobs", "verbose"]
            )
            own, shared = compute(
                features, k, seed, self.drop_threshold, self.n_jobs, bool(self.verbose)
            )
        else:
            own, shared = self_information(features, k, seed), None
        kept = np.flatnonzero((own >= self.drop_threshold) & (own > 0))
        return CrossInformation(features, own, kept, k, seed, shared)

    def _relevance(
        self,
        features: FloatArray,
        targets: list[Target],
        rows: IntArray,
        cross: CrossInformation,
        k: int,
        seed: int,
    ) -> FloatArray:
        out = np.full((features.shape[1], len(targets)), np.nan)
        for number, target in enumerate(targets):
            part = target.take(rows)
            if np.count_nonzero(part.known) < 2:
                raise InvalidValueError(
                    f"Target {number} has fewer than 2 known values among the "
                    f"{len(rows)} rows used. Drop it, or raise n_samples."
                )
            out[cross.kept, number] = target_nmi(
                cross, part, k, seed, number, Digamma(len(rows) + 1)
            )
        return out

    def _rank(self, cross: CrossInformation) -> None:
        kept = cross.kept
        n_ranked = len(kept) if self.n_features is None else self.n_features
        similar = cross.similarity() if len(kept) else np.zeros((0, 0))
        bar = tqdm(
            total=len(kept) * (len(kept) - 1) // 2,
            desc="Pairs of features",
            disable=not self.verbose or cross.is_complete,
        )
        with bar:

            def redundancy(i: int, js: IntArray) -> FloatArray:
                bar.update(len(js))
                return cross.nmi(i, js)

            self.target_rankings_ = [
                kept[
                    rank_features(
                        self.target_nmi_[kept, number],
                        redundancy,
                        n_ranked,
                        p=lambda n: schedule_value(self.p, dynamic_p, n),
                        c=lambda n: schedule_value(self.c, dynamic_c, n),
                        count_from=self.count_from,
                        similar=similar,
                    )
                ]
                if len(kept)
                else kept
                for number in range(self.target_nmi_.shape[1])
            ]
        merged = merge_rankings([list(r) for r in self.target_rankings_])
        self.ranking_ = np.asarray(merged[:n_ranked], dtype=np.int64)

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.ranking_] = True
        return mask

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
