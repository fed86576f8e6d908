"""Which keyword of ``fit`` takes groups or weights, also through other estimators."""

from __future__ import annotations

from typing import Any

from sklearn import get_config
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from skmatgnn.utils._sklearn import BaseSearchCV

__all__ = ["arguments_for_fit", "fit_keyword"]


def fit_keyword(estimator: Any, name: str) -> str | None:
    """Find how ``fit`` takes what has a value for each sample.

    Parameters
    ----------
    estimator : estimator
        Also a Pipeline, a search, or one of the estimators around others that hand on
        what their ``fit`` gets.
    name : {"groups", "sample_weight"}
        What the estimator that learns calls it.

    Returns
    -------
    str or None
        Keyword for ``estimator.fit``; None if it, or what is inside, does not take it.

    Notes
    -----
    A search takes groups for its splitter, and only if that cannot do without: what
    it searches over gets none, unless metadata routing is enabled and says so.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmatgnn.utils.fit_arguments import fit_keyword
    >>> fit_keyword(make_pipeline(Ridge()), "sample_weight")
    'ridge__sample_weight'
    >>> fit_keyword(make_pipeline(Ridge()), "groups") is None
    True
    """
    if not hasattr(estimator, "fit") or isinstance(estimator, FrozenEstimator):
        return None
    if has_fit_parameter(estimator, name):
        return name
    if get_config()["enable_metadata_routing"]:
        return name if _consumes(estimator, "fit", name) else None
    if isinstance(estimator, BaseSearchCV) and name == "groups":
        return name if _needs_groups(estimator.cv) else None
    if isinstance(estimator, Pipeline):
        step, last = estimator.steps[-1]
        inner = fit_keyword(last, name)
        return None if inner is None else f"{step}__{inner}"
    return fit_keyword(_inside(estimator), name)


def arguments_for_fit(estimator: Any, **given: Any) -> dict[str, Any]:
    """Choose what ``fit`` takes, under its keywords.

    Parameters
    ----------
    estimator : estimator
    **given : array-like of shape (n,) or None
        ``groups`` or ``sample_weight``.

    Returns
    -------
    dict
        Without what is None or is not taken.
    """
    keywords = {name: fit_keyword(estimator, name) for name in given}
    return {
        keyword: given[name]
        for name, keyword in keywords.items()
        if keyword is not None and given[name] is not None
    }


def _inside(estimator: Any) -> Any:
    """Find the estimator that gets all further arguments of ``fit``, if any."""
    if isinstance(estimator, TransformedTargetRegressor):
        return estimator.regressor
    known = (BaseSearchCV, MultiOutputClassifier, MultiOutputRegressor)
    hands_on = getattr(estimator, "_hands_on_fit_params", False)
    return estimator.estimator if hands_on or isinstance(estimator, known) else None


def _needs_groups(cv: Any) -> bool:
    needed = getattr(cv, "_needs_groups", True)  # LeaveOneClusterOut can do without
    return needed and hasattr(cv, "split") and _consumes(cv, "split", "groups")


def _consumes(thing: Any, method: str, name: str) -> bool:
    return name in get_routing_for_object(thing).consumes(method, [name])
