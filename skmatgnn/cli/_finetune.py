"""``skmatgnn finetune``: go on from a pre-trained network."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from skmatgnn.cli._files import replaced_path
from skmatgnn.cli._fit import INTERRUPTED, MIN_ROWS, print_summary
from skmatgnn.cli._load import load_samples
from skmatgnn.cli._model_file import (
    ModelInfo,
    is_checkpoint,
    is_shipped,
    write_checkpoint,
)
from skmatgnn.cli._models import make_graphs, make_network, require_device
from skmatgnn.cli._samples import holds_structures, require_learnable
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse

    from skmatgnn.cli._notes import Notes

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
    holds_structures(options.data)  # says so if there is no such file
    require_device(options.device)
    with replaced_path(options.out, is_former=is_checkpoint, what="checkpoint") as path:
        source, estimator, name = _make(options)
        uses_graphs = name != "crabnet"
        in_table = uses_graphs or options.structure_column is not None
        samples = load_samples(options, notes, structures=in_table)
        require_learnable(samples, MIN_ROWS, "training")
        X = make_graphs(source, samples) if uses_graphs else samples.X
        y = samples.targets
        start = perf_counter()
        estimator.fit(X, y[:, 0] if y.shape[1] == 1 else y)
        seconds = perf_counter() - start
        info = ModelInfo.of(name, samples, uses_graphs=uses_graphs)
        write_checkpoint(path, estimator, info)
    print_summary(estimator, info, seconds, options)
    print(
        f"fine-tuned from {options.pretrained}: {options.fine_tuning}, "
        f"head {options.head}"
    )
    return INTERRUPTED if notes.interrupted else 0


def _make(options: argparse.Namespace) -> tuple[Any, Any, str]:
    """Load the pre-trained estimator; make the one that goes on, of its kind."""
    from skmatgnn.estimators import (
        ALIGNNRegressor,
        CGCNNRegressor,
        CrabNetRegressor,
        load_estimator,
    )

    given = options.pretrained
    place = given if is_shipped(given) else str(Path(given).expanduser())
    source = load_estimator(place, device=options.device)
    if hasattr(source, "n_jobs"):
        source.set_params(n_jobs=options.n_jobs)
    kinds: dict[str, Any] = {
        "alignn": ALIGNNRegressor,
        "cgcnn": CGCNNRegressor,
        "crabnet": CrabNetRegressor,
    }
    for name, kind in kinds.items():
        if isinstance(_network_of(source), kind._trunk):  # noqa: SLF001
            estimator = make_network(
                kind,
                options,
                pretrained=place,
                fine_tuning=options.fine_tuning,
                head=options.head,
            )
            return source, estimator, name
    remedy = f"Give a checkpoint of {', '.join(kinds)} or pretrain."
    for name in ("estimators_[0]", "estimator_"):
        if hasattr(source, name.removesuffix("[0]")):
            remedy += (
                f" load_estimator(file).{name}.save(another) writes what is in it."
            )
    raise InvalidValueError(
        f"{given} holds {type(source).__name__}, which has no network to start from. "
        f"{remedy}"
    )


def _network_of(estimator: Any) -> Any:
    """Find the network; an estimator around others has none of its own."""
    return getattr(getattr(estimator, "net_", None), "module_", None)
