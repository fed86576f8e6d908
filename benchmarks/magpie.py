"""Time and compare MagpieFeatures with matminer, side by side in one process.

Both start from the same formula strings and run on one core; times are CPU times,
so that other jobs on the machine matter little. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/magpie.py [--json] [--formulas FILE.csv COLUMN]

Without a file the formulas come from matminer's Materials Project transport table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform

import numpy as np
from _shared import cpu_time, load_formulas
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition

from skmatgnn.featurizers import MagpieFeatures


def compare(formulas, n_reference):
    matminer = ElementProperty.from_preset("magpie", impute_nan=False)
    ours = MagpieFeatures().fit(formulas[:10])
    part = formulas[:n_reference]

    def by_matminer():
        return np.array([matminer.featurize(Composition(f)) for f in part], float)

    theirs_s, theirs = cpu_time(by_matminer, 2)
    ours_s, features = cpu_time(lambda: ours.transform(formulas), 5)
    first = features[: len(part)]
    scale = np.maximum(1.0, np.abs(theirs))
    theirs_each, ours_each = theirs_s / len(part), ours_s / len(formulas)
    return {
        "formulas": len(formulas),
        "formulas_matminer": len(part),
        "matminer_us_each": 1e6 * theirs_each,
        "skmatgnn_us_each": 1e6 * ours_each,
        "ratio": theirs_each / ours_each,
        "max_relative_difference": float(np.nanmax(np.abs(first - theirs) / scale)),
        "same_nan": bool((np.isnan(first) == np.isnan(theirs)).all()),
        "matminer": importlib.metadata.version("matminer"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--formulas", nargs=2, metavar=("FILE", "COLUMN"))
    parser.add_argument("--n", type=int, default=5000, help="formulas for skmatgnn")
    parser.add_argument("--n-matminer", type=int, default=1000)
    options = parser.parse_args()
    formulas = load_formulas(options.formulas, options.n)
    report = compare(formulas, options.n_matminer)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        text = f"{value:.3g}" if isinstance(value, float) else value
        print(f"{name:26} {text}")


if __name__ == "__main__":
    main()
