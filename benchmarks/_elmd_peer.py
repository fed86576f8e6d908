"""The peer's part of ``element_movers.py``; runs in the Python that has elmd."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")  # old API of its dependencies

from ElMD import ElMD  # noqa: E402

formulas = json.load(sys.stdin)
ElMD(formulas[0]).elmd(ElMD(formulas[-1]))  # compiles

start = time.process_time()
items = [ElMD(formula) for formula in formulas]
construct_s = time.process_time() - start

start = time.process_time()
pairs = [a.elmd(b) for i, a in enumerate(items) for b in items[:i]]
pairs_s = time.process_time() - start

json.dump(
    {
        "version": importlib.metadata.version("ElMD"),
        "construct_us": 1e6 * construct_s / len(items),
        "pair_us": 1e6 * pairs_s / len(pairs),
        "distances": [float(value) for value in pairs],
    },
    sys.stdout,
)
