"""What a benchmark writes and prints."""

from __future__ import annotations

import csv
import json
import math
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import skmatgnn

if TYPE_CHECKING:
    from skmatgnn.cli._benchmark import Evaluation, Result

__all__ = ["foreign_entry", "package_versions", "print_report", "write_report"]

FORMAT = "skmatgnn-benchmark"
FORMAT_VERSION = 1
RESULTS, PREDICTIONS = "results.json", "predictions.csv"
_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pymatgen",
    "matminer",
    "torch",
    "skorch",
)
_HEADERS = ("scheme", "model", "MAE", "SMAE", "R2", "seconds")


def foreign_entry(folder: Path) -> str | None:
    """Say why a folder is more than the results of a former benchmark.

    Parameters
    ----------
    folder : Path
        A folder that is not empty.

    Returns
    -------
    str or None
        None if it may be replaced.
    """
    try:
        former = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        known = set(former["files"]) if former["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known is None:
        return f"holds no {RESULTS} of a former benchmark"
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in known)
    if others:
        return f"holds files of yours beside former results ({', '.join(others[:3])})"
    return None


def package_versions() -> dict[str, str]:
    """List the versions that a result depends on.

    Returns
    -------
    dict of str to str
    """
    found = {"python": platform.python_version(), "skmatgnn": skmatgnn.__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_report(result: Result, folder: Path) -> None:
    """Write the files.

    Parameters
    ----------
    result : Result
        What to write.
    folder : Path
        Where; exists.
    """
    figures = _figure_names(result)
    for evaluation, name in zip(result.evaluations, figures, strict=True):
        _draw(evaluation, result, folder / name)
    _write_predictions(result, folder / PREDICTIONS)
    content = _as_dict(result, [RESULTS, PREDICTIONS, *figures])
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")


def _figure_names(result: Result) -> list[str]:
    names = []
    for number, target in enumerate(result.samples.target_names):
        label = re.sub(r"[^A-Za-z0-9-]+", "_", target)[:60].strip("_")
        others = result.samples.target_names[:number]
        if not label or label in [re.sub(r"[^A-Za-z0-9-]+", "_", o) for o in others]:
            label = f"{label}_{number}".strip("_")
        names += [
            f"parity_{label}_{evaluation.scheme}_{evaluation.model}.png"
            for evaluation in result.evaluations
            if evaluation.target == target
        ]
    return names


def _draw(evaluation: Evaluation, result: Result, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from skmatgnn.inspection import ParityDisplay

    samples = result.samples
    tested = ~np.isnan(evaluation.y_pred)
    y = samples.targets[tested, samples.target_names.index(evaluation.target)]
    colours = None
    if evaluation.scheme == "loco":
        colours = [f"cluster {label}" for label in evaluation.fold_of[tested]]
    figure = Figure(
        figsize=(5.2 if colours is None else 6.4, 5.2), layout="constrained"
    )
    FigureCanvasAgg(figure)
    s = evaluation.scores
    display = ParityDisplay.from_predictions(
        y,
        evaluation.y_pred[tested],
        groups=colours,
        target_name=evaluation.target,
        units=samples.units.get(evaluation.target) or None,
        ax=figure.subplots(),
        metrics=False,  # its SMAE has another control than that of the table
        title=f"{evaluation.model}, {evaluation.scheme}, {len(y):,} rows\n"
        f"MAE {_digits(s['mae'])}   SMAE {s['smae']:.3f}   R2 {s['r2']:.3f}",
    )
    if display.legend_ is not None:  # beside the axes, where it hides no points
        display.legend_.set_loc("center left")
        display.legend_.set_bbox_to_anchor((1, 0.5), display.ax_.transAxes)
    figure.savefig(path, dpi=150)


def _write_predictions(result: Result, path: Path) -> None:
    samples = result.samples
    runs: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in result.evaluations:
        runs.setdefault((evaluation.target, evaluation.scheme), []).append(evaluation)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["id", "formula", "group", "target", "scheme", "fold", "y_true"]
            + [f"y_pred_{model}" for model in result.models]
        )
        for (target, scheme), evaluations in runs.items():
            y = samples.targets[:, samples.target_names.index(target)]
            for row in np.flatnonzero(evaluations[0].fold_of != None):  # noqa: E711
                writer.writerow(
                    [
                        samples.ids[row],
                        samples.formulas[row],
                        "" if samples.groups is None else samples.groups[row],
                        target,
                        scheme,
                        evaluations[0].fold_of[row],
                        float(y[row]),
                        *(float(evaluation.y_pred[row]) for evaluation in evaluations),
                    ]
                )


def _as_dict(result: Result, files: list[str]) -> dict[str, Any]:
    options = vars(result.options)
    clusters = result.clusters
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in options.items()
        },
        "versions": package_versions(),
        "platform": platform.platform(),
        "data": _data_summary(result),
        "clusters": None
        if clusters is None
        else {"rows_moved_by_groups": clusters.n_moved, "clusters": clusters.summary},
        "scores": [
            {
                "target": evaluation.target,
                "scheme": evaluation.scheme,
                "model": evaluation.model,
                **evaluation.scores,
                "intervals_95": evaluation.intervals,
                "fit_seconds": evaluation.fit_seconds,
                "predict_seconds": evaluation.predict_seconds,
                "folds": evaluation.folds,
            }
            for evaluation in result.evaluations
        ],
        "prepare_seconds": result.prepare_seconds,
        "seconds": result.seconds,
        "notes": result.notes.texts,
        "files": files,
    }


def _data_summary(result: Result) -> dict[str, Any]:
    samples = result.samples
    targets = {}
    for name, values in zip(samples.target_names, samples.targets.T, strict=True):
        known = values[~np.isnan(values)]
        targets[name] = {
            "unit": samples.units.get(name, ""),
            "known": len(known),
            "mean": float(known.mean()),
            "std": float(known.std()),
            "min": float(known.min()),
            "max": float(known.max()),
        }
    return {
        "source": samples.source,
        "sha256": samples.sha256,
        "kind": "structures" if samples.has_structures else "formulas",
        "rows_read": samples.n_read,
        "rows": len(samples),
        "group_name": samples.group_name,
        "groups": None if samples.groups is None else len(np.unique(samples.groups)),
        "targets": targets,
    }


def _finite(value: Any) -> Any:
    """Replace what JSON does not know: NaN by null, NumPy numbers by Python's."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_report(result: Result) -> None:
    """Print the table to stdout.

    Parameters
    ----------
    result : Result
        What to print.
    """
    samples, clusters = result.samples, result.clusters
    print(f"\n{samples.source}")
    of_groups = ""
    if samples.groups is not None:
        count = len(np.unique(samples.groups))
        of_groups = f" in {count:,} groups of {samples.group_name}"
    print(f"{len(samples):,} rows{of_groups}")
    if "stratified" in result.options.cv:
        print(f"stratified: {result.options.n_splits} folds")
    if clusters is not None:
        sizes = ", ".join(
            f"{cluster['size']:,} ({cluster['central_formula']})"
            for cluster in clusters.summary
        )
        print(f"loco: {len(clusters.summary)} clusters of rows (centre): {sizes}")
    for target in samples.target_names:
        unit = samples.units.get(target)
        print(f"\n{target}{f' ({unit})' if unit else ''}")
        _print_table([e for e in result.evaluations if e.target == target])
    if result.options.bootstrap:
        print("\n[95 % bootstrap interval over fixed predictions]")
    print(f"{result.seconds:.0f} s; results in {result.options.out}")


def _print_table(evaluations: list[Evaluation]) -> None:
    rows = [_HEADERS]
    for evaluation in evaluations:
        cells = [
            _with_interval(evaluation, "mae", _digits),
            _with_interval(evaluation, "smae", "{:.3f}".format),
            _with_interval(evaluation, "r2", "{:.3f}".format),
        ]
        seconds = evaluation.fit_seconds + evaluation.predict_seconds
        rows.append((evaluation.scheme, evaluation.model, *cells, f"{seconds:.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADERS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1].rjust(widths[-1])
        print("  ".join(cells))


def _with_interval(evaluation: Evaluation, name: str, text: Any) -> str:
    value = evaluation.scores[name]
    if math.isnan(value):
        return "-"
    shown = text(value)
    if name in evaluation.intervals:
        low, high = evaluation.intervals[name]
        shown += f" [{text(low)}, {text(high)}]"
    return shown


def _digits(value: float) -> str:
    """Write four significant digits without an exponent where that is readable."""
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3e}" if value else "0"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
