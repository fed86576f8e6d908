"""What a scorer measures, in words, and whether it is a negated loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skmatgnn.inspection._text import lower_first, with_unit

_SHORT = {
    "mean_absolute_error": "MAE",
    "root_mean_squared_error": "RMSE",
    "mean_squared_error": "MSE",
    "scaled_mean_absolute_error": "SMAE",
    "median_absolute_error": "Median absolute error",
    "r2": "R²",
    "r2_score": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "smae": "SMAE",
}
_IN_UNITS = {"MAE", "RMSE", "Median absolute error"}


@dataclass(frozen=True)
class ScoringName:
    """Name of a metric, and the sign that makes a loss of a negated one."""

    name: str
    sign: int

    def label(self, target_name: str | None, units: str | None) -> str:
        """Label an axis."""
        name = self.name
        if target_name is not None:
            name = f"{name} of {lower_first(target_name)}"
        return with_unit(name, units if self.name in _IN_UNITS else None)


def describe_scoring(scoring: Any) -> ScoringName:
    """Name what ``scoring=`` measures.

    Parameters
    ----------
    scoring : str, callable or None
        As for ``bootstrap_score``.

    Returns
    -------
    ScoringName
    """
    if scoring is None:
        return ScoringName("Score", 1)
    if isinstance(scoring, str):
        name, sign = scoring, -1 if scoring.startswith("neg_") else 1
    else:
        # scikit-learn's scorers tell neither by public attributes
        function = getattr(scoring, "_score_func", scoring)
        name = getattr(function, "__name__", "score")
        sign = int(getattr(scoring, "_sign", 1))
    name = name.removeprefix("neg_").removeprefix("masked_")
    words = name.replace("_", " ").strip()
    return ScoringName(_SHORT.get(name, words[:1].upper() + words[1:]), sign)
