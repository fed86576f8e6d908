"""Time the relevance-redundancy ranking against scikit-learn's estimates of each pair.

modnet ranks from one call of scikit-learn's ``mutual_info_regression`` per pair of
features, so that call is its cost. Features are CompositionFeatures of the formulas;
all times are CPU times of one core. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/feature_selection.py FILE.csv FORMULA TARGET
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from _shared import cpu_time
from sklearn.feature_selection import mutual_info_regression

from skmatgnn.feature_selection import RelevanceRedundancySelector, mutual_information
from skmatgnn.featurizers import CompositionFeatures


def reference(X, pairs):
    return [mutual_info_regression(X[:, [i]], X[:, j])[0] for i, j in pairs]


def compare(X, y, n_pairs):
    result = {"rows": len(X), "features": X.shape[1]}
    whole = RelevanceRedundancySelector(n_features=None, random_state=0)
    whole_s, _ = cpu_time(lambda: whole.fit(X, y))
    kept = np.flatnonzero(np.isfinite(whole.target_nmi_[:, 0]))
    n_all = len(kept) * (len(kept) - 1) // 2
    rng = np.random.default_rng(0)
    pairs = [rng.choice(kept, 2, replace=False) for _ in range(n_pairs)]
    theirs_s, theirs = cpu_time(lambda: reference(X, pairs))
    ours = [mutual_information(X[:, [i]], X[:, j], random_state=0)[0] for i, j in pairs]
    again = reference(X, pairs)
    each = theirs_s / n_pairs
    result |= {
        "features_kept": len(kept),
        "pairs": n_all,
        "scikit_learn_ms_a_pair": 1e3 * each,
        "skmatgnn_ms_a_pair": 1e3 * whole_s / n_all,
        "ratio_whole_ranking": each * n_all / whole_s,
        "max_difference": float(np.abs(np.subtract(ours, theirs)).max()),
        "max_difference_of_two_scikit_learn_runs": float(
            np.abs(np.subtract(again, theirs)).max()
        ),
    }
    for n_features in (32, 64, 128):
        selector = RelevanceRedundancySelector(n_features=n_features, random_state=0)
        seconds, _ = cpu_time(lambda s=selector: s.fit(X, y))
        same = selector.ranking_.tolist() == whole.ranking_[:n_features].tolist()
        result |= {
            f"seconds_{n_features}": seconds,
            f"ratio_{n_features}": each * n_all / seconds,
            f"same_ranking_{n_features}": same,
        }
    return result | {"seconds_all": whole_s}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("formula")
    parser.add_argument("target")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.file, keep_default_na=False)
    table = table.sample(min(arguments.rows, len(table)), random_state=0)
    X = CompositionFeatures(impute_nan=True).transform(table[arguments.formula])
    y = pd.to_numeric(table[arguments.target]).to_numpy()
    low, width = X.min(axis=0), np.ptp(X, axis=0)
    X = (X - low)[:, width > 0] / width[width > 0] - 0.5
    result = compare(X, y, arguments.pairs)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:42s} {value:.6g}")


if __name__ == "__main__":
    main()
