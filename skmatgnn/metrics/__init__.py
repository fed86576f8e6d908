"""Metrics and scorers that understand unknown targets and compare with a control.

NaN in ``y_true`` means "not known": such cells are left out, column by column, and
never multiplied away. Where every target is known the values are scikit-learn's.
Distances between compositions are element mover's distances.

Scorers go to ``scoring=`` as objects, because a string would be looked up among
scikit-learn's own:

>>> from sklearn.model_selection import cross_val_score
>>> from skmatgnn import make_rf_magpie
>>> from skmatgnn.metrics import get_scorer, neg_smae
>>> formulas = ["LiF", "NaF", "KF", "LiCl", "NaCl", "KCl", "LiBr", "NaBr", "KBr"]
>>> gaps = [13.6, 11.5, 10.8, 9.4, 8.8, 8.7, 7.9, 7.4, 7.4]
>>> model = make_rf_magpie(n_estimators=20, random_state=0)
>>> scores = cross_val_score(model, formulas, gaps, cv=3, scoring=neg_smae)
>>> scores.shape
(3,)

``neg_smae``, ``neg_masked_mae`` and ``masked_r2`` are ready; :func:`get_scorer` makes
any of :func:`get_scorer_names`, with options if need be, and
:func:`make_masked_scorer` one of another metric:

>>> scoring = {
...     "smae": get_scorer("neg_smae", y_train=gaps),
...     "rmse": get_scorer("neg_masked_rmse"),
... }
"""

from __future__ import annotations

from skmatgnn.metrics._element_movers import (
    element_movers_distance,
    element_movers_distances,
    element_movers_distances_chunked,
    mean_element_movers_distances,
)
from skmatgnn.metrics._masked import (
    masked_mean_absolute_error,
    masked_r2_score,
    masked_root_mean_squared_error,
)
from skmatgnn.metrics._ready_scorers import masked_r2, neg_masked_mae, neg_smae
from skmatgnn.metrics._scaled import scaled_mean_absolute_error
from skmatgnn.metrics._scorers import get_scorer, get_scorer_names, make_masked_scorer

__all__ = [
    "element_movers_distance",
    "element_movers_distances",
    "element_movers_distances_chunked",
    "get_scorer",
    "get_scorer_names",
    "make_masked_scorer",
    "masked_mean_absolute_error",
    "masked_r2",
    "masked_r2_score",
    "masked_root_mean_squared_error",
    "mean_element_movers_distances",
    "neg_masked_mae",
    "neg_smae",
    "scaled_mean_absolute_error",
]
