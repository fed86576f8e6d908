"""Checks of what a transfer matrix is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sklearn.base import clone, is_classifier
from sklearn.utils import check_random_state

from skmatgnn._typing import RandomState
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._transfer_data import Dataset, read_datasets
from skmatgnn.model_selection._transfer_plan import (
    DESIGNS,
    Fit,
    Pretraining,
    TransferPlan,
    default_mpt,
)
from skmatgnn.utils._seeds import MAX_SEED
from skmatgnn.utils.validation import (
    describe,
    is_count,
    require_count,
    require_fraction,
)

__all__ = ["make_plan", "pretrainings_of"]


def make_plan(
    datasets: Any,
    estimator: Any,
    *,
    targets: Sequence[str] | None,
    sources: Sequence[str] | None,
    source_estimator: Any,
    mpt_estimator: Any,
    fine_tuning_params: Mapping[str, Any] | None,
    designs: Sequence[str],
    fine_tuning_sizes: Sequence[int],
    trials: int,
    test_size: float,
    exclude_test: bool,
    random_state: RandomState,
) -> TransferPlan:
    """Check everything that `transfer_matrix` is given, and plan its fits.

    Parameters
    ----------
    datasets, estimator, targets, sources, source_estimator, mpt_estimator, \
fine_tuning_params, designs, fine_tuning_sizes, trials, test_size, exclude_test, \
random_state
        As of `transfer_matrix`.

    Returns
    -------
    TransferPlan
    """
    designs = _names("designs", designs, DESIGNS)
    _check_numbers(fine_tuning_sizes, trials, test_size)
    models = _check_models(
        designs, estimator, source_estimator, mpt_estimator, fine_tuning_params or {}
    )
    read = _read_as_graphs(datasets, models)
    plan = TransferPlan(
        read,
        targets=_names("targets", targets, tuple(read)),
        sources=_names("sources", sources, tuple(read)),
        estimator=models[0],
        source_estimator=models[1],
        mpt_estimator=models[2],
        designs=designs,
        sizes=tuple(int(size) for size in fine_tuning_sizes),
        trials=int(trials),
        seed=int(check_random_state(random_state).randint(MAX_SEED)),
        test_size=float(test_size),
        exclude_test=bool(exclude_test),
        fine_tuning_params=dict(fine_tuning_params or {}),
    )
    _check_plan(plan)
    return plan


def _names(name: str, given: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return known
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidTypeError(
            f"{name} must be a sequence of str; got {describe(given)}."
        )
    unknown = [item for item in given if item not in known]
    if unknown or len(given) == 0 or len(set(given)) < len(given):
        raise InvalidValueError(
            f"{name} must be some of {list(known)}, each once; got {list(given)}."
        )
    return tuple(given)


def _check_numbers(sizes: Any, trials: Any, test_size: Any) -> None:
    if (
        isinstance(sizes, str | Mapping)
        or not hasattr(sizes, "__len__")
        or len(sizes) == 0
        or not all(is_count(size) for size in sizes)
        or len(set(sizes)) < len(sizes)
    ):
        raise InvalidValueError(
            "fine_tuning_sizes must be different numbers of rows, such as (10, 100); "
            f"got {sizes!r}."
        )
    require_count("trials", trials)
    require_fraction("test_size", test_size)


def _check_models(
    designs: tuple[str, ...],
    estimator: Any,
    source_estimator: Any,
    mpt_estimator: Any,
    fine_tuning_params: Mapping[str, Any],
) -> tuple[Any, Any, Any]:
    transfers = set(designs) - {"scratch"}
    source = estimator if source_estimator is None else source_estimator
    _check_model("estimator", estimator, transfers)
    _check_model("source_estimator", source, transfers)
    if "pair" in transfers:
        _require_storable("source_estimator", source)
    joint = mpt_estimator
    if joint is not None:
        _check_model("mpt_estimator", joint, transfers)
    elif transfers - {"pair"}:
        joint = default_mpt(estimator)
    if transfers - {"pair"}:
        _require_storable("mpt_estimator", joint)
    tuned = clone(estimator).set_params(**fine_tuning_params)
    if hasattr(tuned, "_validate_params"):
        tuned._validate_params()  # noqa: SLF001 - scikit-learn's own name
    return estimator, source, joint


def _check_model(name: str, model: Any, transfers: set[str]) -> None:
    if not hasattr(model, "fit") or isinstance(model, type):
        raise InvalidTypeError(f"{name} must be an estimator; got {describe(model)}.")
    if is_classifier(model):
        raise InvalidTypeError(
            f"{name} must be a regressor, whose errors can be compared; got "
            f"{type(model).__name__}."
        )
    parameters = model.get_params()
    if parameters.get("pretrained") is not None:
        raise InvalidValueError(
            f"{name} has pretrained={describe(parameters['pretrained'])}, but "
            "transfer_matrix chooses what models start from. Leave it at None."
        )
    if transfers and "pretrained" not in parameters:
        raise InvalidTypeError(
            f"{name}, {type(model).__name__}, has no parameter pretrained, so that it "
            f"cannot take part in {sorted(transfers)}. Use designs=('scratch',), or an "
            "estimator such as ALIGNNRegressor."
        )
    if hasattr(model, "_validate_params"):
        model._validate_params()  # noqa: SLF001


def _require_storable(name: str, model: Any) -> None:
    """Reject, before it is trained, what could not be saved after."""
    from skmatgnn.estimators._encoding import Encoder

    for key, value in model.get_params(deep=False).items():
        if key != "callbacks":
            Encoder().encode(value, f"{name}, the parameter {key},")


def _read_as_graphs(datasets: Any, models: tuple) -> dict[str, Dataset]:
    """Read datasets; build graphs once if all estimators want the same ones."""
    from skmatgnn.estimators._base import BaseGraphEstimator
    from skmatgnn.graphs import StructureToGraph, ensure_graphs

    of_crystals = isinstance(models[0], BaseGraphEstimator)
    read = read_datasets(datasets, of_crystals=of_crystals)
    given = [model for model in models if model is not None]
    wanted = {
        (model.cutoff, model.max_neighbors, model.precision == "float64")
        for model in given
        if isinstance(model, BaseGraphEstimator)
    }
    if not of_crystals or len(wanted) > 1:
        return read
    ((cutoff, max_neighbors, double),) = wanted
    transformer = StructureToGraph(
        cutoff=cutoff,
        max_neighbors=max_neighbors,
        dtype="float64" if double else "float32",
        n_jobs=models[0].n_jobs,
    )
    built = {}
    for name, dataset in read.items():
        try:
            built[name] = replace(dataset, X=ensure_graphs(dataset.X, transformer))
        except (InvalidTypeError, InvalidValueError) as error:
            raise type(error)(f"Dataset {name!r}: {error}") from error
    return built


def _check_plan(plan: TransferPlan) -> None:
    for name, test in plan.test.items():
        n_train = int((~test).sum())
        if max(plan.sizes) > n_train:
            raise InvalidValueError(
                f"Dataset {name!r} has {n_train} rows to train on beside its hold-out "
                f"of {int(test.sum())}, fewer than fine_tuning_sizes asks for "
                f"({max(plan.sizes)}). Lower that, or leave it out of targets."
            )
        for design in set(plan.designs) - {"scratch"}:
            if not [source for source in plan.sources if source != name]:
                raise InvalidValueError(
                    f"design {design!r} needs a source other than the target {name!r}; "
                    f"the sources are {list(plan.sources)}."
                )
    for pretraining in pretrainings_of(plan, plan.fits()):
        plan.pretraining_rows(pretraining)


def pretrainings_of(plan: TransferPlan, fits: Sequence[Fit]) -> list[Pretraining]:
    """List the different pre-trainings of fits."""
    found = dict.fromkeys(plan.pretraining(fit) for fit in fits)
    return [pretraining for pretraining in found if pretraining is not None]
