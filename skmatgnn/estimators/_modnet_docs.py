"""Parameter descriptions that the MODNet estimators share."""

from __future__ import annotations

import re

from skmatgnn.estimators._docs import FITTED, TRAINING, fill_sections

__all__ = ["document_modnet"]

FEATURES = """
featurizer : "composition", transformer or None, default={featurizer}
    What makes features of X: `CompositionFeatures`, of formulas or other
    compositions; a transformer, which is fitted on X alone; or nothing, where X is a
    table of numbers, in which NaN means unknown.
n_features : int or None, default={n_features}
    How many features to keep, the first in the ranking of
    `RelevanceRedundancySelector` on the training rows; None for all that vary.
feature_scaling : {"standard", "minmax"}, default={feature_scaling}
    To zero mean and unit variance, with the mean where a value is unknown, or to the
    range -0.5 to 0.5, with -1, as published.
"""

NETWORK = """
n_neurons : sequence of 4 sequences of int, default={n_neurons}
    Widths of the layers of the shared, group, property and target blocks.
activation : {"elu", "gelu", "relu", "silu"}, default={activation}
    After each layer but the last.
"""

ENSEMBLE = """
n_models : int, default={n_models}
    Networks that differ in their initial weights. They are trained side by side, at
    little more than the cost of one, and averaged.
bootstrap : bool, default={bootstrap}
    Whether each network sees its own sample of the rows, drawn with replacement.
"""

OF_MODNET = {
    "batch_size": """
    Most samples in a batch.
""",
    "n_jobs": """
    Processes that rank features.
""",
}

MEMORY = """
memory : str, joblib.Memory or None, default={memory}
    Cache of the information that features share, which takes most of the time of
    the ranking and does not depend on the target. It needs an integer
    ``random_state``.
"""

TOGETHER = """
    Without them, equal compositions, or equal rows of a table, stay together."""

FITTED_TABLE = """
ranking_ : ndarray of shape (n_selected,)
    Columns of the features that are used, best first.
featurizer_ : transformer
    Makes features of X, if ``featurizer`` is not None.
feature_scaler_ : FeatureScaler
    Scale of the features.
n_features_in_ : int
    Columns of X, if ``featurizer`` is None.
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Only if moreover X has names of columns.
"""


def _entries(text: str) -> dict[str, str]:
    """Split a section into its entries, by name."""
    starts = re.split(r"^(?=\w+ : )", text.strip(), flags=re.MULTILINE)
    return {entry.split(" : ")[0]: entry.strip() for entry in starts if entry}


def _training() -> str:
    entries = _entries(TRAINING)
    for name in ("element_features", "n_devices", "pretrained", "fine_tuning", "head"):
        entries.pop(name, None)
    entries.pop("n_jobs", None)
    for name, text in OF_MODNET.items():
        head = f"{name} : int or None" if name == "n_jobs" else f"{name} : int"
        entries[name] = f"{head}, default={{{name}}}\n    {text.strip()}"
    entries["validation_fraction"] += TOGETHER
    verbose = entries.pop("verbose")
    n_jobs = entries.pop("n_jobs")
    return "\n".join([*entries.values(), MEMORY.strip(), n_jobs, verbose])


def _fitted() -> str:
    entries = _entries(FITTED)
    entries.pop("graph_settings_", None)
    return "\n".join([*entries.values(), FITTED_TABLE.strip()])


document_modnet = fill_sections(
    {
        "features": FEATURES,
        "network": NETWORK,
        "ensemble": ENSEMBLE,
        "training": _training(),
        "fitted": _fitted(),
    }
)
