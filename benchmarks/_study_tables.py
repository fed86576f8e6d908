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
    n_test = len(next(iter(next(iter(cells.values())).values()))["y"])
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
    errors = error_table(rows, sorted(rows), leave_out_largest)
    low, high = np.quantile(resample(errors), [0.025, 0.975])
    text = f"{errors.mean():.4g} [{low:.4g}, {high:.4g}]"
    both = sorted(set(rows) & set(scratch or {}))
    if both:
        ours = error_table(rows, both, leave_out_largest)
        base = error_table(scratch, both, leave_out_largest)
        ratios = resample(ours) / resample(base)
        low, high = np.quantile(ratios, [0.025, 0.975])
        text += f" ({ours.mean() / base.mean():.2f} [{low:.2f}, {high:.2f}])"
    return text


def error_table(rows, trials, leave_out_largest):
    """Absolute errors, (n_trials, n_test)."""
    table = np.abs([np.subtract(rows[t]["y_pred"], rows[t]["y"]) for t in trials])
    largest = int(np.argmax(rows[trials[0]]["y"]))
    return np.delete(table, largest, axis=1) if leave_out_largest else table


def resample(table):
    """Bootstrap means; the same draws for tables of the same shape."""
    rng = np.random.default_rng(0)
    n_trials, n_test = table.shape
    means = []
    for _ in range(N_RESAMPLES):
        trials = rng.integers(n_trials, size=n_trials)
        means.append(table[trials][:, rng.integers(n_test, size=n_test)].mean())
    return np.array(means)
