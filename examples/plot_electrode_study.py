"""
======================================
A study of battery electrodes, rerun
======================================

Which model predicts properties of battery electrodes from their formulas, and how much
of its accuracy is left on chemistries that it has not seen? This script compares a
random forest on Magpie features, MODNet and CrabNet under three kinds of folds, with
bootstrap intervals, and looks into the models.

Given a table of the Materials Project's battery explorer it runs on electrodes::

    python plot_electrode_study.py electrodes.csv

Without one it runs a small version of itself on measured formation energies, which are
installed with pymatgen. The whole study, with all targets and schemes, is one command:
``skmatgnn benchmark electrodes.csv --electrodes --models all``.
"""

# %%
# The data
# --------
# ``read_electrodes`` checks the table. An electrode is described by its discharged
# formula only, as in the published study.
import sys

import matplotlib.pyplot as plt
import numpy as np
from pymatgen.core import Composition

from skmatgnn.datasets import load_formation_energies, read_electrodes

path = next((a for a in sys.argv[1:] if ".csv" in a or ".json" in a), None)
if path is not None:
    table = read_electrodes(path)
    formulas, y = table.data, table.target[:, table.target_names.index("capacity_grav")]
    labels, label_name = table.frame["working_ion"].to_numpy(), "working ion"
    target_name, units = "gravimetric capacity", "mAh/g"
    settings = {"RF@Magpie": {"n_estimators": 200}, "MODNet": {}, "CrabNet": {}}
    n_splits, n_clusters = 5, 8
else:
    energies = load_formation_energies()
    chosen = np.random.default_rng(0).choice(len(energies.data), 300, replace=False)
    formulas, y = energies.data[chosen], energies.target[chosen]
    kinds = {"O": "oxide", "S": "sulfide", "F": "fluoride", "Cl": "chloride"}
    elements = [Composition(formula).as_dict() for formula in formulas]
    labels = np.array(
        [next((kinds[s] for s in kinds if s in found), "other") for found in elements]
    )
    target_name, units, label_name = "formation energy", "eV/atom", "kind"
    settings = {
        "RF@Magpie": {"n_estimators": 50},
        "MODNet": {"max_epochs": 20, "n_models": 2},
        "CrabNet": {"max_epochs": 25, "d_model": 64, "n_layers": 2},
    }
    n_splits, n_clusters = 3, 4
print(f"{len(formulas)} formulas, such as {', '.join(formulas[:4])}")

# %%
# What is in it
# -------------
# The properties follow the working ion, which most tables hold in very unequal shares.
# So every fold should have its share of each.
from skmatgnn.inspection import WorkingIonDisplay

WorkingIonDisplay.from_labels(
    labels, y, label_name=label_name, target_name=target_name, units=units
)
plt.show()

# %%
# Three kinds of folds
# --------------------
# Rows that share a formula have different targets, as polymorphs or by another range of
# the ion, but are hardly independent: folds by formula keep them together. Leaving one
# cluster out at a time asks for chemistries that no training row has.
from sklearn.cluster import KMeans
from sklearn.model_selection import GroupKFold

from skmatgnn.model_selection import (
    ClusterGroups,
    LeaveOneClusterOut,
    StratifiedRegressionKFold,
    formula_groups,
)

clusters = ClusterGroups(
    KMeans(n_clusters, n_init=10, random_state=0), random_state=0
).fit(formulas)
schemes = {
    f"stratified by {label_name}": (
        StratifiedRegressionKFold(n_splits, by=labels, shuffle=True, random_state=0),
        None,
    ),
    "by formula": (
        GroupKFold(n_splits, shuffle=True, random_state=0),
        formula_groups(formulas),
    ),
    "leave one cluster out": (LeaveOneClusterOut(), clusters.groups_),
}

# %%
# The clusters on a map of the features' two main directions, each with the formula that
# is most like all others in it by element mover's distance:
from skmatgnn.inspection import EmbeddingMapDisplay

EmbeddingMapDisplay.from_cluster_groups(clusters, formulas)
plt.show()

# %%
# The comparison
# --------------
# All models take formulas and are scikit-learn estimators, so ``cross_val_predict`` is
# the whole experiment. The SMAE is the mean absolute error over that of the control,
# which predicts the mean of the rows it was trained on. Its interval says how much it
# depends on which materials happened to be tested.
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_val_predict

from skmatgnn import CrabNetRegressor, MODNetRegressor, make_rf_magpie
from skmatgnn.model_selection import bootstrap_score

models = {
    "control": DummyRegressor(),
    "RF@Magpie": make_rf_magpie(random_state=0, **settings["RF@Magpie"]),
    "MODNet": MODNetRegressor(random_state=0, **settings["MODNet"]),
    "CrabNet": CrabNetRegressor(random_state=0, **settings["CrabNet"]),
}
predictions = {}
print(f"{'':38s}{'MAE (' + units + ')':>16s}   95 % interval   SMAE")
for scheme, (cv, groups) in schemes.items():
    for name, model in models.items():
        y_pred = cross_val_predict(model, formulas, y, groups=groups, cv=cv)
        predictions[scheme, name] = y_pred
        control = predictions[scheme, "control"]
        found = bootstrap_score(
            y_pred,
            None,
            y,
            method="fixed",
            scoring="neg_mean_absolute_error",
            n_resamples=300,
            random_state=0,
        )
        mae = -found.observed
        smae = mae / np.abs(y - control).mean()
        interval = f"[{-found.high:.3g}, {-found.low:.3g}]"
        print(f"{scheme:26s}{name:12s}{mae:16.3g}{interval:>17s}{smae:7.3f}")

# %%
# Where the errors are
# --------------------
# Families differ far more than models do. Before a model is sent to search for
# materials, this is the figure to look at.
from skmatgnn.inspection import ClusterErrorDisplay

loco = "leave one cluster out"
ClusterErrorDisplay.from_predictions(
    y,
    {name: predictions[loco, name] for name in models if name != "control"},
    clusters.groups_,
    control=predictions[loco, "control"],
    target_name=target_name,
    units=units,
    random_state=0,
)
plt.show()

# %%
# More data?
# ----------
# Bootstrap resamples of growing size, scored on the rows that were not drawn, tell what
# more rows of the same kind would bring.
from skmatgnn.inspection import BootstrapLearningCurveDisplay

BootstrapLearningCurveDisplay.from_scores(
    {
        "RF@Magpie": bootstrap_score(
            models["RF@Magpie"],
            formulas,
            y,
            scoring="neg_mean_absolute_error",
            n_resamples=8,
            train_sizes=[0.1, 0.3, 1.0],
            random_state=0,
        )
    },
    scoring="neg_mean_absolute_error",
    target_name=target_name,
    units=units,
)
plt.show()

# %%
# What CrabNet looks at
# ---------------------
# Each element of a formula attends to the others. The mean over all formulas, for the
# most frequent elements:
from skmatgnn.inspection import AttentionDisplay

AttentionDisplay.from_estimator(models["CrabNet"].fit(formulas, y), formulas)
plt.show()

# %%
# What was learnt
# ---------------
# * One loop over scikit-learn models and splitters is a benchmark; the intervals tell
#   which differences are worth talking about.
# * Whole families left out are predicted far worse than random rows, by every model.
# * The capacity of an electrode whose charged formula is known too needs no model at
#   all: ``theoretical_capacity`` is exact.
