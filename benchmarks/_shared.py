"""What several benchmarks share: their formulas, their clock and ``--set``."""

from __future__ import annotations

import ast
import time
from pathlib import Path


def load_formulas(source, n, *, distinct=False):
    """Up to n formulas of a CSV file and column, or of matminer's transport table."""
    import matminer.utils.data
    import pandas as pd

    if source is None:
        folder = Path(matminer.utils.data.__file__).parent / "data_files"
        path = folder / "mp_transport" / "transport_database.tar.xz"
        column = "pretty_formula"
    else:
        path, column = source
    table = pd.read_csv(path, usecols=[column], keep_default_na=False)
    formulas = table[column].astype(str)
    if distinct:
        formulas = formulas.drop_duplicates()
    return formulas.sample(min(n, len(formulas)), random_state=0).tolist()


def cpu_time(function, repeats=1):
    """Least CPU time of some calls, and what the last one returned."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return best, result


def settings(items):
    """Parameters of ``--set NAME=VALUE ...``; what is no literal is a string."""
    chosen = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            chosen[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            chosen[name] = value
    return chosen
