"""The report of a benchmark: one HTML page with everything inside."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

from skmatgnn.cli._figures import DETAIL, OVERVIEW, DrawnFigure
from skmatgnn.cli._texts import SHOWN_SCORES, digits, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["make_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
  border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 0.8rem 0; }
th, td { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #eee; }
th { border-bottom: 2px solid #bbb; }
td.text, th.text { text-align: left; }
tr.best td { font-weight: 600; }
figure { display: inline-block; margin: 0.5rem; vertical-align: top; }
figure img { max-width: 100%; height: auto; }
details figure img { width: 24rem; }
figcaption, .note { color: #666; font-size: 0.85rem; }
"""
_SCORE_HEADERS = ("MAE", "SMAE", "R2")
_EXPLANATION = (
    "MAE: mean absolute error. SMAE: MAE over that of the control, the mean of the "
    "training rows, on the same rows. The best trained model of each scheme is in bold."
)
_BRACKETS = "In brackets, 95 % bootstrap intervals over fixed predictions."
_UNTRAINED = ("control", "theoretical")


def make_page(
    content: dict[str, Any], figures: Sequence[DrawnFigure], folder: Path
) -> str:
    """Write the page.

    Parameters
    ----------
    content : dict
        What results.json holds.
    figures : sequence of DrawnFigure
        The figures.
    folder : Path
        Where they are.

    Returns
    -------
    str
        HTML that needs no other file.
    """
    data = content["data"]
    parts = [
        f"<h1>Benchmark of {escape(str(data['source']))}</h1>",
        _summary(content),
        *(_figure(f, folder) for f in figures if f.target is None),
    ]
    for target, values in data["targets"].items():
        of_target = [f for f in figures if f.target == target]
        parts += [
            f"<h2>{escape(target)}{_unit(values['unit'])}</h2>",
            _scores(content, target),
            *(_figure(f, folder) for f in of_target if f.kind == OVERVIEW),
            "<details><summary>Predicted against true values</summary>",
            *(_figure(f, folder) for f in of_target if f.kind == DETAIL),
            "</details>",
        ]
    parts += ["<h2>How it was made</h2>", _notes(content), _settings(content)]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>skmatgnn benchmark: {escape(str(data['source']))}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _unit(unit: str) -> str:
    return f" ({escape(unit)})" if unit else ""


def _summary(content: dict[str, Any]) -> str:
    data, clusters = content["data"], content["clusters"]
    lines = [
        f"{data['rows']:,} rows of {data['kind']}"
        + (
            f" in {data['groups']:,} groups of {escape(data['group_name'])}"
            if data["groups"]
            else ""
        )
    ]
    lines += [
        f"{escape(name)}{_unit(values['unit'])}: {values['known']:,} known values, "
        f"mean {digits(values['mean'])}, standard deviation {digits(values['std'])}"
        for name, values in data["targets"].items()
    ]
    text = "".join(f"<li>{line}</li>" for line in lines)
    if clusters is None:
        return f"<ul>{text}</ul>"
    rows = (
        (c["cluster"], f"{c['size']:,}", f"{c['share']:.1%}", c["central_formula"])
        for c in clusters["clusters"]
    )
    return f"<ul>{text}</ul>" + _table(
        ("cluster", "rows", "share", "central formula"), rows
    )


def _scores(content: dict[str, Any], target: str) -> str:
    found = [score for score in content["scores"] if score["target"] == target]
    table = _score_table((s, s, s["intervals_95"]) for s in found)
    if not content["parameters"]["two_sigma"]:
        return table
    usual = [
        (s, s["two_sigma"]["scores"], s["two_sigma"]["intervals"])
        for s in found
        if s["two_sigma"] is not None
    ]
    if not usual:
        return table
    return (
        f"{table}<p>Within two standard deviations of the mean of the training rows:"
        f"</p>{_score_table(usual)}"
    )


def _score_table(found: Iterable[tuple[dict, dict, dict]]) -> str:
    rows, scored = [], list(found)
    for about, scores, intervals in scored:
        cells = [
            with_interval(scores[name], intervals.get(name), text)
            for name, text in SHOWN_SCORES.items()
        ]
        seconds = about["fit_seconds"] + about["predict_seconds"]
        model = f"{about['model']} (joint)" if about["joint"] else about["model"]
        rows.append((about["scheme"], model, *cells, f"{seconds:,.1f}"))
    best = {
        min(trained, key=lambda number: scored[number][1]["mae"])
        for scheme in dict.fromkeys(about["scheme"] for about, *_ in scored)
        if (
            trained := [
                number
                for number, (about, *_) in enumerate(scored)
                if about["scheme"] == scheme and about["model"] not in _UNTRAINED
            ]
        )
    }
    return _table(("scheme", "model", *_SCORE_HEADERS, "seconds"), rows, best)


def _table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], best: Iterable[int] = ()
) -> str:
    best = set(best)
    lines = [
        (
            f"<tr{' class=best' if number in best else ''}>"
            + "".join(
                f"<td{_align(header)}>{escape(str(cell))}</td>"
                for header, cell in zip(headers, row, strict=True)
            )
            + "</tr>"
        )
        for number, row in enumerate(rows)
    ]
    head = "".join(f"<th{_align(header)}>{header}</th>" for header in headers)
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _align(header: str) -> str:
    return " class=text" if header in ("scheme", "model", "central formula") else ""


def _figure(figure: DrawnFigure, folder: Path) -> str:
    data = base64.b64encode((folder / figure.name).read_bytes()).decode()
    caption = escape(figure.caption)
    return (
        f'<figure><img alt="{caption}" loading="lazy" '
        f'src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _notes(content: dict[str, Any]) -> str:
    brackets = [_BRACKETS] if content["parameters"]["bootstrap"] else []
    lines = "".join(
        f"<li>{escape(line)}</li>"
        for line in (_EXPLANATION, *brackets, *content["notes"])
    )
    return f"<ul>{lines}</ul>"


def _settings(content: dict[str, Any]) -> str:
    shown = {
        **{f"--{k.replace('_', '-')}": v for k, v in content["parameters"].items()},
        **content["versions"],
        "platform": content["platform"],
        "created": content["created"],
        "seconds": f"{content['seconds']:.0f}",
    }
    rows = ((name, "" if value is None else value) for name, value in shown.items())
    return (
        "<details><summary>Settings and versions</summary>"
        + _table(("name", "value"), rows)
        + "</details>"
    )
