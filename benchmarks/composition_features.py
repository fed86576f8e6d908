"""Time and compare CompositionFeatures with matminer's featurizers, side by side.

Both start from the same formula strings on one core; times are CPU times. matminer's
ion property is the slow one (fast=False), and is run on formulas of at most 40 atoms,
because its time has no bound. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/composition_features.py FILE.csv COLUMN [--json]
"""

from __future__ import annotations

import argparse
import json
import warnings

import numpy as np
import pandas as pd
from _shared import cpu_time
from matminer.featurizers import composition as matminer
from pymatgen.core import Composition

from skmatgnn.featurizers import CompositionFeatures

MAX_ATOMS = 40


def featurizers():
    return [
        matminer.ElementProperty.from_preset("magpie", impute_nan=True),
        matminer.ElementFraction(),
        matminer.Stoichiometry(),
        matminer.ValenceOrbital(impute_nan=True),
        matminer.BandCenter(impute_nan=True),
        matminer.TMetalFraction(),
        matminer.IonProperty(impute_nan=True),
    ]


def usable(formula):
    composition = Composition(formula)
    whole = all(float(amount).is_integer() for amount in composition.values())
    return whole and composition.num_atoms <= MAX_ATOMS


def compare(formulas, n_reference):
    features = CompositionFeatures(impute_nan=True)
    features.transform(formulas[:10])
    ours_s = cpu_time(lambda: features.transform(formulas), 3)[0]
    part = [formula for formula in formulas if usable(formula)][:n_reference]
    reference = featurizers()

    def by_matminer():
        return [
            [value for f in reference for value in f.featurize(Composition(formula))]
            for formula in part
        ]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_s, theirs = cpu_time(by_matminer)
    ours, theirs = features.transform(part), np.asarray(theirs, dtype=float)
    difference = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    return {
        "formulas": len(formulas),
        "formulas_matminer": len(part),
        "skmatgnn_ms_each": 1e3 * ours_s / len(formulas),
        "matminer_ms_each": 1e3 * theirs_s / len(part),
        "ratio": theirs_s / len(part) / (ours_s / len(formulas)),
        "max_relative_difference": float(difference.max()),
        "rows_that_differ": int((difference > 1e-6).any(axis=1).sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("column")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--n-reference", type=int, default=500)
    arguments = parser.parse_args()
    table = pd.read_csv(
        arguments.file, usecols=[arguments.column], keep_default_na=False
    )
    formulas = table[arguments.column].astype(str)
    result = compare(
        formulas.sample(frac=1, random_state=0).tolist(), arguments.n_reference
    )
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:26s} {value:.6g}")


if __name__ == "__main__":
    main()
