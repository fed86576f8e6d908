"""``skmatgnn pretrain``: train one network on many properties."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from skmatgnn.cli._files import replaced_path
from skmatgnn.cli._fit import INTERRUPTED, MIN_ROWS, print_summary
from skmatgnn.cli._model_file import ModelInfo, is_checkpoint, write_checkpoint
from skmatgnn.cli._models import make_graphs, make_network, require_device
from skmatgnn.cli._properties import Merged, merge_files
from skmatgnn.cli._samples import holds_structures, limited, require_learnable

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from skmatgnn.cli._notes import Notes
    from skmatgnn.cli._samples import Samples

__all__ = ["run"]


def run(options: argparse.Namespace, notes: Notes) -> int:
    """Run the command.

    Parameters
    ----------
    options : Namespace
        Arguments.
    notes : Notes
        Where remarks go.

    Returns
    -------
    int
        Exit code; 130 where Ctrl-C ended the training and the best model was kept.
    """
    from skmatgnn.estimators import MPTRegressor

    for source in options.properties:
        holds_structures(source.path)  # says so if there is no such file
    require_device(options.device)
    estimator = make_network(MPTRegressor, options, architecture=options.model)
    with replaced_path(options.out, is_former=is_checkpoint, what="checkpoint") as path:
        merged = merge_files(options, notes)
        samples = limited(merged.samples, options, notes)
        require_learnable(samples, MIN_ROWS, "pre-training")
        print(_table(merged, len(samples)), flush=True)
        graphs = make_graphs(estimator, samples)
        start = perf_counter()
        estimator.fit(graphs, _frame(samples))
        seconds = perf_counter() - start
        info = ModelInfo.of(f"mpt ({options.model})", samples, uses_graphs=True)
        write_checkpoint(path, estimator, info, merged=_provenance(merged, options))
    print_summary(estimator, info, seconds, options)
    return INTERRUPTED if notes.interrupted else 0


def _frame(samples: Samples) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(samples.targets, columns=samples.target_names)


def _table(merged: Merged, n_used: int) -> str:
    """Say what became of the rows, and which properties share materials."""
    names = merged.samples.target_names
    lines = [merged.report.to_string(index=False)]
    if len(names) > 1:
        lines += ["", "materials with both properties:", merged.overlaps.to_string()]
    count = f"{len(merged.samples):,} materials"
    if n_used < len(merged.samples):
        count = f"{n_used:,} of {count}"
    lines += ["", f"{count}, {len(names)} properties", ""]
    return "\n".join(lines)


def _provenance(merged: Merged, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "rows": merged.report.to_dict("records"),
        "match": options.match,
        "excluded": [path.name for path in options.exclude],
        "exclude_match": options.exclude_match,
    }
