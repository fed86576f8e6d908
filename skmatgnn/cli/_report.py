"""What a benchmark writes and prints."""

from __future__ import annotations

import csv
import json
import math
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._figures import draw_figures
from skmatgnn.cli._page import make_page
from skmatgnn.cli._texts import SHOWN_SCORES, with_interval
from skmatgnn.cli._versions import package_versions

if TYPE_CHECKING:
    from skmatgnn.cli._result import Evaluation, Result

__all__ = ["foreign_entry", "print_report", "write_report"]

FORMAT = "skmatgnn-benchmark"
FORMAT_VERSION = 1
REPORT, RESULTS, PREDICTIONS = "report.html", "results.json", "predictions.csv"
TABLES = "tables.md"
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


def write_report(result: Result, folder: Path) -> None:
    """Write the files.

    Parameters
    ----------
    result : Result
        What to write.
    folder : Path
        Where; exists.
    """
    figures = draw_figures(result, folder)
    _write_predictions(result, folder / PREDICTIONS)
    files = [REPORT, RESULTS, TABLES, PREDICTIONS, *(figure.name for figure in figures)]
    content = _finite(_as_dict(result, files))
    text = json.dumps(content, indent=2, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")
    (folder / TABLES).write_text(_markdown(result), encoding="utf-8")
    page = make_page(content, figures, folder)
    (folder / REPORT).write_text(page, encoding="utf-8")


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
            predicted = {item.model: item.y_pred for item in evaluations}
            first = evaluations[0]
            for place, row in enumerate(first.rows):
                writer.writerow(
                    [
                        samples.ids[row],
                        samples.formulas[row],
                        "" if samples.groups is None else samples.groups[row],
                        target,
                        scheme,
                        first.fold_of[place],
                        float(y[row]),
                        *(
                            float(predicted[model][place]) if model in predicted else ""
                            for model in result.models
                        ),
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
                "joint": evaluation.joint,
                **evaluation.scores,
                "intervals_95": evaluation.intervals,
                "two_sigma": evaluation.two_sigma,
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
    """Print the tables to stdout.

    Parameters
    ----------
    result : Result
        What to print.
    """
    samples, clusters, options = result.samples, result.clusters, result.options
    print(f"\n{samples.source}")
    of_groups = ""
    if samples.groups is not None:
        count = len(np.unique(samples.groups))
        of_groups = f" in {count:,} groups of {samples.group_name}"
    print(f"{len(samples):,} rows{of_groups}")
    for scheme in options.cv:
        if scheme in ("stratified", "formula", "chemical_system"):
            by = f" by {samples.stratum_name}" if samples.strata is not None else ""
            print(
                f"{scheme}: {options.n_splits} folds"
                + (by if scheme == "stratified" else "")
            )
        elif scheme == "bootstrap":
            print(f"bootstrap: {options.n_resamples} resamples")
    if clusters is not None:
        sizes = ", ".join(
            f"{cluster['size']:,} ({cluster['central_formula']})"
            for cluster in clusters.summary
        )
        print(f"loco: {len(clusters.summary)} clusters of rows (centre): {sizes}")
    for title, rows in _tables(result):
        print(f"\n{title}")
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADERS))]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[-1] = row[-1].rjust(widths[-1])
            print("  ".join(cells))
    if options.bootstrap:
        print("\n[95 % bootstrap interval over fixed predictions]")
    print(f"{result.seconds:.0f} s; results in {options.out}, see {REPORT} there")


def _tables(result: Result) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Write the scores of each target: a title, and rows, headers first."""
    tables = []
    for target in result.samples.target_names:
        unit = result.samples.units.get(target)
        title = f"{target}{f' ({unit})' if unit else ''}"
        evaluations = [e for e in result.evaluations if e.target == target]
        whole = [(e, e.scores, e.intervals) for e in evaluations]
        tables.append((title, _table_rows(whole)))
        if result.options.two_sigma:
            usual = [
                (e, e.two_sigma["scores"], e.two_sigma["intervals"])
                for e in evaluations
                if e.two_sigma is not None
            ]
            title += ", within two standard deviations of the mean"
            tables += [(title, _table_rows(usual))] if usual else []
    return tables


def _table_rows(evaluations: list[tuple[Evaluation, dict, dict]]) -> list[tuple]:
    rows: list[tuple[str, ...]] = [_HEADERS]
    for evaluation, scores, intervals in evaluations:
        cells = [
            with_interval(scores[name], intervals.get(name), text)
            for name, text in SHOWN_SCORES.items()
        ]
        seconds = evaluation.fit_seconds + evaluation.predict_seconds
        rows.append((evaluation.scheme, evaluation.model, *cells, f"{seconds:.1f}"))
    return rows


def _markdown(result: Result) -> str:
    lines = [f"# {result.samples.source}"]
    for title, (headers, *rows) in _tables(result):
        lines += ["", f"## {title}", "", f"| {' | '.join(headers)} |"]
        lines += ["|---|---|" + "---:|" * (len(headers) - 2)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
