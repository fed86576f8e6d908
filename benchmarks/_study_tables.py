"""Tables of the transfer study."""

from __future__ import annotations

import sys

import numpy as np
from _study_workers import read_rows

UNITS = {"PH": "1/cm", "DC": "", "PZ": "C/m²"}
N_RESAMPLES = 2000


def print_tables(path):
    """Print errors with 95 % intervals in markdown."""
    experiments = {}
    for row in read_rows(path):
        cells = experiments.setdefault(row["settings"], {})
        name = (row["target"], row["part"], row["label"], row["source"], row["size"])
        cells.setdefault(name, {})[row["trial"]] = row
    if not experiments:
        sys.exit(f"{path} has no fits")
    print(
        "Mean absolute error over the trials, and its 95 % interval from a bootstrap "
        "over trials and test rows. In parentheses: the ratio to scratch of the same "
        "trials and test rows.\n"
    )
    for settings, cells in experiments.items():
        print(f"Settings: {settings or 'defaults'}\n")
        print_experiment(cells)


def print_experiment(cells):
    for target in dict.fromkeys(name[0] for name in cells):
        own = {name[1:]: rows for name, rows in cells.items() if name[0] == target}
        print_target(target, own, leave_out_largest=False)
        if target == "PZ":  # published with and without the largest of the test rows
            print_target(target, own, leave_out_largest=True)


def print_target(target, cells, *, leave_out_largest):
    sizes = sorted({name[3] for name in cells})
    n_test = count_test_rows(next(iter(cells.values())))
    title = f"{target} ({UNITS[target]})" if UNITS.get(target) else target
    without = ", without the largest value" if leave_out_largest else ""
    print(f"**{title}**, {n_test - leave_out_largest} test rows{without}\n")
    print("| part | model | trials | " + " | ".join(f"{n} rows" for n in sizes) + " |")
    print("|---" * (3 + len(sizes)) + "|")
    for part, label, source in dict.fromkeys(name[:3] for name in cells):
        found = [cells.get((part, label, source, size)) for size in sizes]
        scratch = [cells.get(("scratch", "scratch", None, size)) for size in sizes]
        trials = sorted({len(rows) for rows in found if rows})
        model = label if source is None else f"{label} from {source}"
        texts = [
            describe(rows, base if part != "scratch" else None, leave_out_largest)
            for rows, base in zip(found, scratch, strict=True)
        ]
        n = "-".join(str(number) for number in trials)
        print(f"| {part} | {model} | {n} | " + " | ".join(texts) + " |")
    print()


def describe(rows, scratch, leave_out_largest):
    if rows is None:
        return ""
    folds = are_folds(rows)
    errors = error_table(rows, sorted(rows), leave_out_largest)
    low, high = np.quantile(resample(errors, folds=folds), [0.025, 0.975])
    text = f"{np.concatenate(errors).mean():.4g} [{low:.4g}, {high:.4g}]"
    both = sorted(set(rows) & set(scratch or {}))
    if both:
        ours = error_table(rows, both, leave_out_largest)
        base = error_table(scratch, both, leave_out_largest)
        ratios = resample(ours, folds=folds) / resample(base, folds=folds)
        low, high = np.quantile(ratios, [0.025, 0.975])
        ratio = np.concatenate(ours).mean() / np.concatenate(base).mean()
        text += f" ({ratio:.2f} [{low:.2f}, {high:.2f}])"
    return text


def are_folds(rows):
    """Whether each trial has test rows of its own."""
    first, *others = (row["y"] for row in rows.values())
    return any(y != first for y in others)


def count_test_rows(rows):
    counts = [len(row["y"]) for row in rows.values()]
    return sum(counts) if are_folds(rows) else counts[0]


def error_table(rows, trials, leave_out_largest):
    """Absolute errors of each trial."""
    errors = [np.abs(np.subtract(rows[t]["y_pred"], rows[t]["y"])) for t in trials]
    if leave_out_largest:
        largest = max(max(rows[t]["y"]) for t in trials)
        errors = [
            e[np.array(rows[t]["y"]) < largest]
            for e, t in zip(errors, trials, strict=True)
        ]
    return errors


def resample(errors, *, folds):
    """Bootstrap means; the same draws for errors of the same test rows."""
    rng, means = np.random.default_rng(0), []
    for _ in range(N_RESAMPLES):
        drawn = [errors[i] for i in rng.integers(len(errors), size=len(errors))]
        if folds:  # of each its own rows, else the same of all
            drawn = [e[rng.integers(len(e), size=len(e))] for e in drawn]
        else:
            rows = rng.integers(len(errors[0]), size=len(errors[0]))
            drawn = [e[rows] for e in drawn]
        means.append(np.concatenate(drawn).mean())
    return np.array(means)
