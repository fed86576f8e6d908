"""The figures of a benchmark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from skmatgnn.cli._models import THEORY
from skmatgnn.cli._texts import digits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from matplotlib.figure import Figure

    from skmatgnn.cli._result import Evaluation, Result
    from skmatgnn.cli._schemes import Clusters

__all__ = ["DrawnFigure", "draw_figures"]

DPI = 130
#: Overview figures are shown at the top of the report, the others folded away.
OVERVIEW, DETAIL = "overview", "detail"


@dataclass(frozen=True)
class DrawnFigure:
    """A figure on disk.

    Parameters
    ----------
    name : str
        Its file.
    caption : str
        What it shows.
    target : str or None
        The target that it is about.
    kind : {"overview", "detail"}
        Where the report shows it.
    """

    name: str
    caption: str
    target: str | None
    kind: str


def draw_figures(result: Result, folder: Path) -> list[DrawnFigure]:
    """Draw everything.

    Parameters
    ----------
    result : Result
        What to draw.
    folder : Path
        Where; exists.

    Returns
    -------
    list of DrawnFigure
    """
    album = _Album(folder)
    strata, stratum_name = result.samples.strata, result.samples.stratum_name
    if strata is not None and stratum_name is not None:
        album.draw(
            "strata.png",
            f"Rows for each {stratum_name}.",
            partial(_plot_strata, strata=strata, name=stratum_name),
            size=(7, 3.6),
        )
    if result.clusters is not None:
        album.draw(
            "clusters.png",
            "The clusters of the scheme loco, with their most central formulas.",
            partial(_plot_clusters, clusters=result.clusters),
            size=(7.5, 5.2),
        )
    names = result.samples.target_names
    for target, label in zip(names, _file_labels(names), strict=True):
        _draw_target(album, result, target, label)
    return album.drawn


class _Album:
    """Figures in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: list[DrawnFigure] = []

    def draw(
        self,
        name: str,
        caption: str,
        plot: Callable[[Figure], object],
        *,
        size: tuple[float, float],
        target: str | None = None,
        kind: str = OVERVIEW,
    ) -> None:
        figure = _new_figure(size)
        plot(figure)
        figure.savefig(self.folder / name, dpi=DPI)
        self.drawn.append(DrawnFigure(name, caption, target, kind))


def _draw_target(album: _Album, result: Result, target: str, label: str) -> None:
    evaluations = [e for e in result.evaluations if e.target == target]
    trained = [e for e in evaluations if e.model != THEORY]
    by_cluster = [e for e in trained if e.scheme == "loco"]
    if trained:
        intervals = " with their 95 % intervals" if result.options.bootstrap else ""
        album.draw(
            f"errors_{label}.png",
            f"Errors of {target}{intervals}.",
            partial(_plot_errors, evaluations=trained),
            size=(7, 3.6),
            target=target,
        )
    if by_cluster and result.clusters is not None:
        album.draw(
            f"clusters_{label}.png",
            f"Errors of {target} for each cluster that was left out.",
            partial(
                _plot_cluster_errors,
                evaluations=by_cluster,
                result=result,
                clusters=result.clusters,
            ),
            size=(8, 4),
            target=target,
        )
    for evaluation in evaluations:
        album.draw(
            f"parity_{label}_{evaluation.scheme}_{evaluation.model}.png",
            f"{target}, {evaluation.scheme}, {evaluation.model}.",
            partial(_plot_parity, evaluation=evaluation, result=result),
            size=(6.4 if evaluation.scheme == "loco" else 5.2, 5.2),
            target=target,
            kind=DETAIL,
        )


def _file_labels(names: list[str]) -> list[str]:
    """Turn names of targets into parts of file names, all different."""
    labels: list[str] = []
    for number, name in enumerate(names):
        label = re.sub(r"[^A-Za-z0-9-]+", "_", name)[:60].strip("_")
        taken = not label or label.lower() in (other.lower() for other in labels)
        labels.append(f"{label}_{number}".strip("_") if taken else label)
    return labels


def _new_figure(size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plot_strata(figure: Figure, strata: np.ndarray, name: str) -> None:
    from skmatgnn.inspection import WorkingIonDisplay

    WorkingIonDisplay.from_labels(strata, label_name=name, ax=figure.subplots())


def _plot_clusters(figure: Figure, clusters: Clusters) -> None:
    from skmatgnn.inspection import EmbeddingMapDisplay

    EmbeddingMapDisplay.from_points(
        clusters.points,
        clusters.labels,
        representatives={c["cluster"]: c["central_formula"] for c in clusters.summary},
        ax=figure.subplots(),
    )


def _plot_errors(figure: Figure, evaluations: list[Evaluation]) -> None:
    """Draw SMAE by scheme, the models side by side."""
    axes = figure.subplots()
    schemes = list(dict.fromkeys(e.scheme for e in evaluations))
    models = [m for m in dict.fromkeys(e.model for e in evaluations) if m != "control"]
    width = 0.8 / max(len(models), 1)
    for number, model in enumerate(models):
        for evaluation in (e for e in evaluations if e.model == model):
            value = evaluation.scores["smae"]
            ends = evaluation.intervals.get("smae")
            place = schemes.index(evaluation.scheme) + (number + 0.5) * width - 0.4
            axes.bar(
                place,
                value,
                width * 0.9,
                color=f"C{number}",
                label=model if evaluation.scheme == schemes[0] else None,
                yerr=ends and [[max(value - ends[0], 0)], [max(ends[1] - value, 0)]],
                capsize=2,
            )
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle="--", label="control")
    axes.set_xticks(range(len(schemes)), schemes)
    axes.set_ylabel("SMAE (MAE / MAE of the control)")
    axes.set_title(evaluations[0].target)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _plot_cluster_errors(
    figure: Figure, evaluations: list[Evaluation], result: Result, clusters: Clusters
) -> None:
    from skmatgnn.inspection import ClusterErrorDisplay

    samples = result.samples
    first = evaluations[0]
    y = samples.targets[first.rows, samples.target_names.index(first.target)]
    everything = {e.model: e.y_pred for e in evaluations}
    control = everything.get("control")
    predicted = {k: values for k, values in everything.items() if k != "control"}
    ClusterErrorDisplay.from_predictions(
        y,
        predicted or everything,
        clusters.labels[first.rows],
        control=control,
        group_names={c["cluster"]: c["central_formula"] for c in clusters.summary},
        target_name=first.target,
        units=samples.units.get(first.target) or None,
        n_resamples=result.options.bootstrap,
        drawn_together=None if samples.groups is None else samples.groups[first.rows],
        random_state=result.options.random_state,
        ax=figure.subplots(),
    )


def _plot_parity(figure: Figure, evaluation: Evaluation, result: Result) -> None:
    from skmatgnn.inspection import ParityDisplay

    samples, scores = result.samples, evaluation.scores
    y = samples.targets[evaluation.rows, samples.target_names.index(evaluation.target)]
    colours = None
    if evaluation.scheme == "loco":
        summary = [] if result.clusters is None else result.clusters.summary
        central = {str(c["cluster"]): c["central_formula"] for c in summary}
        colours = [f"{label} ({central.get(label)})" for label in evaluation.fold_of]
    display: Any = ParityDisplay.from_predictions(
        y,
        evaluation.y_pred,
        groups=colours,
        target_name=evaluation.target,
        units=samples.units.get(evaluation.target) or None,
        ax=figure.subplots(),
        metrics=False,  # its SMAE has another control than that of the table
        title=f"{evaluation.model}, {evaluation.scheme}, {len(y):,} rows\n"
        f"MAE {digits(scores['mae'])}   SMAE {scores['smae']:.3f}   "
        f"R2 {scores['r2']:.3f}",
    )
    if display.legend_ is not None:  # beside the axes, where it hides no points
        display.legend_.set_loc("center left")
        display.legend_.set_bbox_to_anchor((1, 0.5), display.ax_.transAxes)
