"""
================================================
From a list of crystal structures to predictions
================================================

Graph neural networks read crystal structures as they are. This example
cross-validates one in a single line, then compares CGCNN, which sees bond lengths,
with ALIGNN, which sees the angles between bonds as well, on two properties of which
a fifth of the values is not known.
"""

# %%
# One line
# --------
# The AFLOW prototypes are real crystals of all sorts; here those of up to twelve
# atoms. The target is the volume per atom. ``structures`` is a plain list of pymatgen
# ``Structure``; crystals of the same elements stay in the same fold. An SMAE of 1 is
# the error of predicting the mean, so the score is 0 for a perfect model and -1 for a
# useless one.
from sklearn.model_selection import GroupKFold, cross_val_score

from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import load_prototypes
from skmatgnn.metrics import neg_smae

prototypes = load_prototypes(max_atoms=12)
structures, y, groups = list(prototypes.data), prototypes.target, prototypes.groups

model = CGCNNRegressor(max_epochs=25, batch_size=16, random_state=0)
scores = cross_val_score(
    model, structures, y, groups=groups, cv=GroupKFold(3), scoring=neg_smae
)
print(f"{len(structures)} crystals, SMAE of the folds: {(-scores).round(2)}")

# %%
# Several properties, some of them unknown
# ----------------------------------------
# Next, distorted crystals with the diamond and the zincblende lattice. Their band
# energy depends on every bond length and on the electronegativities of both ends, so
# neither the composition nor the bare geometry determines it. The volume is the second
# target. NaN means "not known": training leaves such cells out, and so do the metrics.
import numpy as np

from skmatgnn.datasets import make_crystals

crystals = make_crystals(
    240,
    prototypes=["diamond", "zincblende"],
    strain=0.05,
    rattle=0.1,
    random_state=0,
)
X = crystals.data
systems = [structure.chemical_system for structure in X]
names, units = ["band energy", "volume per atom"], ["arb. units", "Å$^3$"]
Y = np.column_stack(
    [crystals.target, [structure.volume / len(structure) for structure in X]]
)
Y_known = Y.copy()
Y_known[np.random.default_rng(0).random(Y.shape) < 0.2] = np.nan
print(f"{np.isnan(Y_known).sum()} of {Y_known.size} values are unknown")

# %%
# CGCNN and ALIGNN in a Pipeline
# ------------------------------
# ``StructureToGraph`` makes the graphs. Both pipelines have the same one, which takes
# angles between bonds of up to 4 Å; CGCNN does not look at them. Trained are the known
# values only; scored are all, because here the hidden ones are known after all.
from time import perf_counter

from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from skmatgnn import ALIGNNRegressor
from skmatgnn.graphs import StructureToGraph
from skmatgnn.metrics import scaled_mean_absolute_error

to_graphs = StructureToGraph(max_neighbors=12, three_body_cutoff=4.0)
networks = {
    "CGCNN": CGCNNRegressor(max_epochs=40, batch_size=16, random_state=0),
    "ALIGNN": ALIGNNRegressor(max_epochs=25, batch_size=16, random_state=0),
}
cv = GroupKFold(3)
predictions = {}
print(f"{'SMAE':8s}" + "".join(f"{name:>18s}" for name in names))
for name, network in networks.items():
    start = perf_counter()
    predictions[name] = cross_val_predict(
        make_pipeline(to_graphs, network), X, Y_known, groups=systems, cv=cv
    )
    errors = scaled_mean_absolute_error(Y, predictions[name], multioutput="raw_values")
    shown = "".join(f"{error:18.2f}" for error in errors)
    print(f"{name:8s}{shown}   in {perf_counter() - start:.0f} s")

# %%
# The figure
# ----------
import matplotlib.pyplot as plt

from skmatgnn.inspection import ParityDisplay

fig, axes = plt.subplots(2, 2, figsize=(9, 9), layout="constrained")
for row, target in enumerate(names):
    both = np.concatenate([Y_pred[:, row] for Y_pred in predictions.values()])
    low, high = min(both.min(), Y[:, row].min()), max(both.max(), Y[:, row].max())
    margin = 0.04 * (high - low)
    for column, (name, Y_pred) in enumerate(predictions.items()):
        ParityDisplay.from_predictions(
            Y[:, row],
            Y_pred[:, row],
            target_name=target,
            units=units[row],
            groups=crystals.groups,
            limits=(low - margin, high + margin),
            title=name,
            ax=axes[row, column],
        )
plt.show()

# %%
# What was learnt
# ---------------
# * A list of ``Structure`` is all that ``cross_val_score`` needs. Graphs are made, and
#   targets scaled, inside every fold.
# * Both networks do far better than the mean on crystals of elements combined as never
#   before, after seconds of training on 160 crystals with gaps in the table.
# * Look at the points, not only at the score. With ``edge_messages=False``, as
#   published, ALIGNN puts the crystals of one element into level rows of such a plot:
#   distorted in different ways, they get the same prediction. Its messages are then
#   weighted means over neighbours, and where all neighbours are alike the weights,
#   which carry lengths and angles, cancel. With ``edge_messages=True`` the messages
#   themselves carry them, and the predictions differ.
# * Which network is better depends on the property and on how much data and time there
#   are; cross-validation tells. Serious training takes more epochs than here.
