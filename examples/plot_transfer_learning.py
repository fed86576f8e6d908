"""
===========================================
From a network that has learnt before
===========================================

``skmatgnn/mpt-mp-small`` comes with the package: an ALIGNN that was trained on five
properties of ten thousand crystals. This script holds its formation energies, computed
for crystals of all sorts, against measured ones, and then trains it on with a few of
these, beside a network that starts from nothing.
"""

# %%
# Crystals with measured energies
# -------------------------------
# The AFLOW prototypes are real crystals, and for many of them pymatgen has the measured
# enthalpy of formation of that formula. Polymorphs get the same value, which is off by
# less than the errors below.
import numpy as np
from pymatgen.core import Composition

from skmatgnn.datasets import load_formation_energies, load_prototypes

measured = {}
energies = load_formation_energies()
for formula, energy in zip(energies.data, energies.target, strict=True):
    measured.setdefault(Composition(formula).reduced_formula, []).append(energy)
prototypes = load_prototypes(max_atoms=10)
names = np.array([x.composition.reduced_formula for x in prototypes.data])
rows = np.flatnonzero([name in measured for name in names])
X, names = prototypes.data[rows], names[rows]
y = np.array([np.mean(measured[name]) for name in names])
print(
    f"{len(X)} crystals of {len(set(names))} compounds, such as {', '.join(names[:6])}"
)

# %%
# Without any training
# --------------------
# The network predicts five properties, of which one is the formation energy that a
# density functional gives. What it has learnt from are hosts of battery electrodes,
# mostly oxides, phosphates and fluorides; hardly any sulfide, carbide or metal.
from skmatgnn import load_estimator

network = load_estimator("skmatgnn/mpt-mp-small")
column = list(network.property_names_).index("FE")
untrained = network.predict(X)[:, column]
error, control = np.abs(untrained - y).mean(), np.abs(y - np.median(y)).mean()
print(f"MAE {error:.2f} eV/atom; of the median {control:.2f}")

# %%
# With a few labels
# -----------------
# A third of the compounds is held out. On a few of the others three models are trained:
# an ALIGNN from scratch; an ALIGNN that starts from the network's weights, all of which
# are trained on; and a ridge regression on what the network makes of a crystal before
# its last layers, which trains in no time.
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn import ALIGNNRegressor, GraphEmbedding

settings = {"max_epochs": 20, "batch_size": 8, "random_state": 0}
models = {
    "from scratch": ALIGNNRegressor(**settings),
    "fine-tuned": ALIGNNRegressor(pretrained="skmatgnn/mpt-mp-small", **settings),
    "ridge on its features": make_pipeline(
        GraphEmbedding(FrozenEstimator(network)),
        StandardScaler(),
        RidgeCV(np.logspace(-2, 4, 13)),
    ),
}
sizes, n_draws = (10, 40), 3
errors = {name: np.empty((n_draws, len(sizes))) for name in models}
splits = GroupShuffleSplit(n_draws, test_size=1 / 3, random_state=0)
for draw, (others, test) in enumerate(splits.split(X, y, names)):
    shuffled = np.random.default_rng(draw).permutation(others)
    for name, model in models.items():
        for place, size in enumerate(sizes):
            few = shuffled[:size]
            y_pred = model.fit(X[few], y[few]).predict(X[test])
            errors[name][draw, place] = np.abs(y_pred - y[test]).mean()
for name, found in errors.items():
    print(f"{name:22s}", found.mean(axis=0).round(2), "eV/atom")

# %%
# The figure
# ----------
# Lines are means over the draws, dots are single draws.
import matplotlib.pyplot as plt

from skmatgnn.inspection import ParityDisplay

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
ParityDisplay.from_predictions(
    y,
    untrained,
    target_name="formation energy",
    units="eV/atom",
    title="as installed, without training",
    ax=axes[0],
)
for name, found in errors.items():
    (line,) = axes[1].plot(sizes, found.mean(axis=0), "o-", label=name)
    axes[1].plot(sizes, found.T, ".", color=line.get_color(), alpha=0.5)
axes[1].axhline(error, color="grey", linestyle=":", label="as installed")
axes[1].axhline(control, color="grey", linestyle="--", label="median of all")
axes[1].set(
    xlabel="labels",
    ylabel="MAE (eV/atom)",
    xticks=sizes,
    ylim=(0, None),
    title="trained with a few labels",
)
axes[1].legend()
plt.show()

# %%
# What was learnt
# ---------------
# * ``pretrained="skmatgnn/mpt-mp-small"`` is all that fine-tuning takes; no download.
# * If a network has learnt the very property, look at its predictions before training
#   anything: here a few labels add nothing to it.
# * Features of a trained network and a linear model are a strong baseline where labels
#   are few, and cost nothing.
# * Draws of a few labels differ as much as models do.
#   ``model_selection.transfer_matrix`` makes such a comparison with more draws, more
#   strategies and intervals; ``docs/transfer_study.md`` is one.
