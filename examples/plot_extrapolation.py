"""
===============================================
How far does a model reach beyond its training?
===============================================

Random folds test on relatives of the training set. This script leaves whole chemical
systems and whole clusters of materials out, measures how far each test material is from
the training set, and shows how the error grows with that distance.
"""

# %%
# Three kinds of folds
# --------------------
# The same forest, on 1,000 measured formation energies that come with pymatgen. For
# structures and a graph network the call is the same; there is also
# ``dimensionality_groups`` with ``HoldOutGroups(["0D", "1D", "2D"])``, which trains on
# frameworks and tests on layers, chains and molecules.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from skmatgnn import make_rf_magpie
from skmatgnn.datasets import load_formation_energies
from skmatgnn.inspection import ExtrapolationDisplay
from skmatgnn.model_selection import (
    LeaveOneClusterOut,
    chemical_system_groups,
    extrapolation_report,
)

energies = load_formation_energies()
chosen = np.random.default_rng(0).choice(len(energies.data), 1000, replace=False)
X, y = energies.data[chosen], energies.target[chosen]
model = make_rf_magpie(n_estimators=50, random_state=0)
reports = {
    "random folds": extrapolation_report(
        model, X, y, cv=KFold(5, shuffle=True, random_state=0)
    ),
    "chemical systems": extrapolation_report(
        model, X, y, groups=chemical_system_groups(X), cv=GroupKFold(5)
    ),
    "clusters": extrapolation_report(model, X, y, cv=LeaveOneClusterOut()),
}
for name, report in reports.items():
    print(
        f"{name:16} MAE {report['error'].mean():.3f} eV/atom, median distance "
        f"{report['latent_distance'].median():.2f} (features), "
        f"{report['elmd_distance'].median():.2f} (ElMD)"
    )

# %%
# Error by distance
# -----------------
# A forest has no learnt features, so that the distance is one of standardised Magpie
# features, in units of what separates training materials from one another.
figure, axes = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
for ax, distance in zip(axes, ("latent_distance", "elmd_distance"), strict=True):
    ExtrapolationDisplay.from_frame(
        reports, distance=distance, units="eV/atom", random_state=0, ax=ax
    )

# %%
# What was learnt
# ---------------
# At the same distance in the features the three kinds of folds have about the same
# error; leaving clusters out tests on materials at distances that random folds hardly
# have. What to expect of new materials is a curve's value at their distance, not the
# mean over a test set.
farthest = reports["clusters"].nlargest(5, "latent_distance")
print(farthest.assign(formula=X[farthest["sample"]]).to_string(index=False))
plt.show()
