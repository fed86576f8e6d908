"""
=================================
Intervals that hold what they say
=================================

An ensemble's standard deviation is no error bar until it has been compared with errors.
This script takes MODNet's as it comes, calibrates it, and then asks both for materials
that are unlike those it was calibrated with.
"""

# %%
# The data
# --------
# Measured formation energies that come with pymatgen: 600 compounds to train with, and
# 600 to test on that were drawn alike.
import numpy as np

from skmatgnn.datasets import load_formation_energies

energies = load_formation_energies()
order = np.random.default_rng(0).permutation(len(energies.data))
train, test = order[:600], order[600:1200]
X, y = energies.data, energies.target

# %%
# As it comes, and calibrated
# ---------------------------
# MODNet is an ensemble of networks, and what it calls its standard deviation is their
# spread. ``ConformalRegressor`` trains it on four fifths of the rows, compares spread
# and error on the rest, and widens or narrows the intervals until they hold.
from sklearn.base import clone

from skmatgnn import ConformalRegressor, MODNetRegressor

network = MODNetRegressor(max_epochs=15, batch_size=32, random_state=0)
plain = clone(network).fit(X[train], y[train])
calibrated = ConformalRegressor(network, random_state=0).fit(X[train], y[train])

low, high = calibrated.predict_interval(X[test], confidence_level=0.9)
held = (low <= y[test]) & (y[test] <= high)
width = (high - low).mean()
print(f"intervals of 90 % hold {held.mean():.0%}, mean width {width:.2f} eV/atom")

# %%
# New chemistry
# -------------
# Next, all fluorides, chlorides, bromides and iodides are kept out of training, and are
# what is asked for. No calibration with other compounds can promise anything for them.
from pymatgen.core import Composition

halogens = {"F", "Cl", "Br", "I"}
is_halide = np.array([not halogens.isdisjoint(Composition(f).as_dict()) for f in X])
known, unknown = train[~is_halide[train]], test[is_halide[test]]
elsewhere = ConformalRegressor(network, random_state=0).fit(X[known], y[known])

# %%
# The figure
# ----------
# Observed against expected share, for every level. On the diagonal an uncertainty is
# right, below it the model is too sure of itself. The grey band is where a perfect
# model would be with so many samples.
import matplotlib.pyplot as plt

from skmatgnn.inspection import UncertaintyCalibrationDisplay

figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
for ax, title, model, rows in (
    (axes[0], "spread of the ensemble", plain, test),
    (axes[1], "conformal", calibrated, test),
    (axes[2], "conformal, on halides unseen", elsewhere, unknown),
):
    display = UncertaintyCalibrationDisplay.from_estimator(
        model, X[rows], y[rows], units="eV/atom", ax=ax
    )
    ax.set_title(title)
    print(f"{title:30s} miscalibration area {display.miscalibration_area_:.3f}")
plt.show()

# %%
# What was learnt
# ---------------
# * The spread of an ensemble is far too small: its members agree on what is wrong.
# * Conformal intervals hold as often as they say, of any model, after setting a fifth
#   of the rows aside, as long as new materials are drawn as those were.
# * On families that were not calibrated with they do not. If new families are what will
#   be asked for, calibrate with ``groups`` of families, so that what is left out is as
#   new as what is to come.
