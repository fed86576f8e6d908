"""Pre-train on other properties, fine-tune on matbench phonons, print the test error.

    python benchmarks/phonons_pretrained.py DATA MODEL --pretrain [--set NAME=VALUE ...]
    python benchmarks/phonons_pretrained.py DATA MODEL --folds 0 1 2 3 4 [--set ...]

DATA is a folder with phonons, dielectric_constant, piezoelectric_tensor and
mp_electrode_hosts (gzipped JSON lists of records). MODEL is the checkpoint of an
MPTRegressor that has learnt formation energies and band gaps of the electrode hosts,
dielectric constants and piezoelectric moduli, and no crystal whose formula is one of
the phonons': so that one model serves all folds and has seen nothing of their tests.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from _shared import settings
from phonons import error, split
from phonons import load as load_folds
from transfer_study import FILES, load

from skmatgnn import ALIGNNRegressor, DeepEnsembleRegressor, MPTRegressor
from skmatgnn.preprocessing import merge_properties

SOURCES = tuple(name for name in FILES if name != "PH")


def pretrain(folder, sources, chosen):
    datasets = load(folder, quick=False)
    tested, _ = datasets["PH"]
    parts = [(*datasets[name], name) for name in sources]
    table = merge_properties(parts, match="structure", exclude=tested)
    sys.stderr.write(f"{table.report}\n")
    model = MPTRegressor(random_state=0, verbose=True, **chosen)
    return model.fit(table.data, table.target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pretrain", action="store_true")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--members", type=int, default=1, help="of an ensemble")
    parser.add_argument("--inner", type=int, metavar="N", help="as in phonons.py")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    chosen = settings(args.set)
    if args.pretrain:
        pretrain(args.data, args.sources, chosen).save(args.model)
        return
    file, target = FILES["PH"]
    X, y, fold = load_folds(args.data / f"{file}.json.gz", target)
    for number in args.folds:
        train, test = split(fold, number, args.inner)
        for seed in args.seeds:
            start = time.perf_counter()
            model = ALIGNNRegressor(
                pretrained=str(args.model), random_state=seed, **chosen
            )
            if args.members > 1:
                model = DeepEnsembleRegressor(
                    model, n_models=args.members, random_state=seed
                )
            model.fit(X[train], y[train])
            seconds = time.perf_counter() - start
            models = model.estimators_ if args.members > 1 else [model]
            row = {
                "fold": number,
                "seed": seed,
                "n_train": len(train),
                "mae": error(model, X[test], y[test]),
                "each": [error(one, X[test], y[test]) for one in models],
                "members": args.members,
                "train_s": round(seconds, 1),
                **chosen,
            }
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
