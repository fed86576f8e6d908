"""Which dataset to learn before which, measured."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed
from tqdm.auto import tqdm

from skmatgnn._typing import RandomState
from skmatgnn.errors import InvalidValueError
from skmatgnn.model_selection._transfer_checks import make_plan, pretrainings_of
from skmatgnn.model_selection._transfer_plan import (
    DESIGNS,
    Fit,
    Pretraining,
    TransferPlan,
    fit_and_predict,
    fit_and_save,
)
from skmatgnn.utils.digest import digest
from skmatgnn.utils.kept_results import KeptResults
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["transfer_matrix"]


@explain_lost_workers()
def transfer_matrix(
    datasets: Mapping[str, tuple] | Sequence[tuple],
    estimator: Any,
    *,
    targets: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    source_estimator: Any = None,
    mpt_estimator: Any = None,
    fine_tuning_params: Mapping[str, Any] | None = None,
    designs: Sequence[str] = DESIGNS,
    fine_tuning_sizes: Sequence[int] = (10, 100, 200, 500, 800),
    trials: int = 5,
    test_size: float = 0.1,
    exclude_test: bool = True,
    n_jobs: int | None = None,
    cache_dir: str | Path | None = None,
    random_state: RandomState = None,
    verbose: bool = False,
) -> pd.DataFrame:
    """Measure how much pre-training on other properties helps each property.

    Every target has one hold-out, which all its models are scored on. On random draws
    of the other rows a model is trained from scratch, from a model of each other
    dataset, from a multi-property one (MPT), and from one without the target. A
    pre-trained model is fitted once and used for all.

    Parameters
    ----------
    datasets : dict of str to (structures, y) or (structures, y, groups)
        One property each; or a list of (structures, y, name), as for
        `merge_properties`. Samples of one group (and of one formula, always) are not
        parted by the hold-out; groups have a meaning within their dataset only.
    estimator : estimator
        Trained from scratch, and fine-tuned. It must have ``pretrained`` unless
        "scratch" is the only design.
    targets : sequence of str, default=None
        Datasets to predict; None is all.
    sources : sequence of str, default=None
        Datasets to pre-train on; None is all.
    source_estimator : estimator, default=None
        Pre-trained on a single dataset; None is ``estimator``.
    mpt_estimator : estimator, default=None
        Pre-trained on many; None is an MPTRegressor with the architecture and the
        parameters of ``estimator``.
    fine_tuning_params : dict, default=None
        Parameters of ``estimator`` for fine-tuning only, such as
        ``{"fine_tuning": "two_body", "lr": 1e-3}``.
    designs : sequence of str, default=("scratch", "pair", "mpt", "mpt_without_target")
        Which to run. "mpt" learns the training part of the target, too, with all of
        its labels, so that fine-tuning does not show it anything new: to judge a
        model of few labels take "mpt_without_target".
    fine_tuning_sizes : sequence of int, default=(10, 100, 200, 500, 800)
        Numbers of rows to train on. The draws of a trial are nested.
    trials : int, default=5
        Number of draws. All designs have the same.
    test_size : float, default=0.1
        Share of the rows of a target that is held out, whole formulas (and groups).
    exclude_test : bool, default=True
        Keep every sample whose reduced formula is in any target's hold-out out of
        pre-training. False leaves out a target's test rows only, so that its test
        materials may be seen with other properties; never their target values.
    n_jobs : int, default=None
        Fits side by side; with the same number of threads in each, the result does not
        depend on it.
    cache_dir : str or Path, default=None
        Folder in which pre-trained models and predictions are kept, so that a run that
        was stopped goes on; needs an int as ``random_state``. What is there is used
        only for the same data, parameters and versions.
    random_state : int, RandomState or None, default=None
        Seed of hold-outs, draws, and every ``random_state`` of the estimators that is
        None.
    verbose : bool, default=False
        Whether to show progress bars.

    Returns
    -------
    DataFrame
        A row for each fit: ``target``, ``design``, ``source`` (of pairs, else None),
        ``size``, ``trial``, ``n_train``, ``n_test``, ``mae``, ``smae`` (over the error
        of the test rows' mean), ``r2`` and ``seconds`` (of this training, without the
        pre-training). ``attrs["pretraining"]`` lists, for each pre-trained model, the
        rows that it used and that were left out of each dataset.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a parameter or dataset cannot be used, before anything is trained.

    See Also
    --------
    skmatgnn.inspection.TransferMatrixDisplay : Shows pairs at one size.
    skmatgnn.inspection.FineTuningCurveDisplay : Shows errors against the size.
    skmatgnn.preprocessing.merge_properties : Makes a table for an MPTRegressor.

    Notes
    -----
    Hold-outs take formulas in an order that follows from ``random_state`` and the
    formula alone, so that datasets with the same materials hold out the same ones, and
    few rows are lost to ``exclude_test``. In the table of an MPT model, structures that
    are equal in every digit are one row.

    References
    ----------
    Devi, Butler, Sai Gautam, "Optimal pre-train/fine-tune strategies for accurate
    material property predictions", npj Comput. Mater. 10, 300 (2024).

    Examples
    --------
    >>> from skmatgnn import CGCNNRegressor
    >>> from skmatgnn.datasets import make_crystals
    >>> from skmatgnn.model_selection import transfer_matrix
    >>> X, y = make_crystals(40, random_state=0, return_X_y=True)
    >>> datasets = {"energy": (X, y), "volume": (X[:30], [x.volume for x in X[:30]])}
    >>> frame = transfer_matrix(
    ...     datasets, CGCNNRegressor(node_dim=8, hidden_dim=8, max_epochs=1),
    ...     designs=("scratch", "pair"), fine_tuning_sizes=(10, 20), trials=1,
    ...     random_state=0,
    ... )
    >>> frame[["target", "design", "source", "size"]].head(4)
       target   design  source  size
    0  energy  scratch    None    10
    1  energy  scratch    None    20
    2  energy     pair  volume    10
    3  energy     pair  volume    20
    """
    if cache_dir is not None and not isinstance(random_state, Integral):
        raise InvalidValueError(
            "cache_dir needs an int as random_state, without which no run has the "
            f"fits of another; got {describe(random_state)}."
        )
    plan = make_plan(
        datasets,
        estimator,
        targets=targets,
        sources=sources,
        source_estimator=source_estimator,
        mpt_estimator=mpt_estimator,
        fine_tuning_params=fine_tuning_params,
        designs=designs,
        fine_tuning_sizes=fine_tuning_sizes,
        trials=trials,
        test_size=test_size,
        exclude_test=exclude_test,
        random_state=random_state,
    )
    with _folder(cache_dir) as folder:
        rows = _Run(plan, folder, n_jobs, verbose=verbose).rows()
    return _frame(plan, rows)


@contextmanager
def _folder(cache_dir: str | Path | None) -> Iterator[Path]:
    if cache_dir is not None:
        folder = Path(cache_dir).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="skmatgnn-") as name:
        yield Path(name)


class _Run:
    """Does the fits of a plan that are not done yet, pre-trainings first."""

    def __init__(
        self, plan: TransferPlan, folder: Path, n_jobs: int | None, *, verbose: bool
    ) -> None:
        import torch

        from skmatgnn import __version__

        self.plan, self.folder = plan, folder
        self.n_jobs, self.verbose = n_jobs, verbose
        self.kept = KeptResults(folder / "fits")
        self._versions = digest(__version__, torch.__version__)

    def rows(self) -> list[dict[str, Any]]:
        fits = self.plan.fits()
        keys = {fit: digest(self._versions, self.plan.fit_key(fit)) for fit in fits}
        found = {fit: self.kept.get(keys[fit], "y_pred", "seconds") for fit in fits}
        done = {fit: result for fit, result in found.items() if result is not None}
        pending = [fit for fit in fits if fit not in done]
        self._pretrain(pretrainings_of(self.plan, pending))

        def arguments(fit: Fit) -> tuple[Any, ...]:
            pretraining = self.plan.pretraining(fit)
            start = None if pretraining is None else self.path(pretraining)
            return self.plan.fit_task(fit, start)

        for fit, result in self._each(
            "fits", pending, fit_and_predict, arguments, initial=len(fits)
        ):
            y_pred, seconds = result
            self.plan.row(fit, y_pred, seconds)  # an error if it cannot be scored
            self.kept.put(keys[fit], y_pred=y_pred, seconds=seconds)
            done[fit] = result
        return [self.plan.row(fit, done[fit][0], float(done[fit][1])) for fit in fits]

    def path(self, pretraining: Pretraining) -> Path:
        key = digest(self._versions, self.plan.pretraining_key(pretraining))
        return self.folder / "pretrained" / f"{key}.safetensors"

    def _pretrain(self, pretrainings: list[Pretraining]) -> None:
        (self.folder / "pretrained").mkdir(exist_ok=True)
        pending = [p for p in pretrainings if not _can_be_loaded(self.path(p))]

        def arguments(pretraining: Pretraining) -> tuple[Any, ...]:
            task = self.plan.pretraining_task(pretraining)
            return (*task, self.path(pretraining))

        for _ in self._each(
            "pre-training", pending, fit_and_save, arguments, initial=len(pretrainings)
        ):
            pass

    def _each(
        self,
        name: str,
        items: Sequence[Any],
        call: Callable,
        arguments: Callable,
        initial: int,
    ) -> Iterator[tuple[Any, Any]]:
        parallel = Parallel(self.n_jobs, batch_size=1, return_as="generator_unordered")
        tasks = (
            delayed(_numbered)(number, call, *arguments(item))
            for number, item in enumerate(items)
        )
        with tqdm(
            total=initial,
            initial=initial - len(items),
            desc=name,
            disable=not self.verbose,
        ) as bar:
            for number, result in parallel(tasks):
                bar.update()
                yield items[number], result


def _numbered(number: int, call: Callable, *arguments: Any) -> tuple[int, Any]:
    return number, call(*arguments)


def _can_be_loaded(path: Path) -> bool:
    from skmatgnn.estimators import load_estimator

    try:
        load_estimator(path, device="cpu")
    except InvalidValueError:
        return False
    return True


def _frame(plan: TransferPlan, rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows).astype({"source": object})
    frame["source"] = frame["source"].where(frame["source"].notna(), None)
    frame.attrs["pretraining"] = [
        {
            "datasets": list(pretraining.names),
            "spared": pretraining.spared,
            "rows": {name: len(rows) for name, rows in used.items()},
            "left_out": {
                name: len(plan.datasets[name]) - len(rows)
                for name, rows in used.items()
            },
        }
        for pretraining in pretrainings_of(plan, plan.fits())
        for used in [plan.pretraining_rows(pretraining)]
    ]
    return frame
