"""The skorch net that trains on graphs, tokens or tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor

from skmatgnn.errors import InvalidValueError
from skmatgnn.nets._dataset import DeviceDataset, GraphIterator, Labels
from skmatgnn.nets._fine_tuning import FineTuning, freeze_blocks, rate_factors
from skmatgnn.nets._loop import run_epochs
from skmatgnn.nets._out_of_memory import smaller_batch, unless_out_of_memory
from skmatgnn.nets._pass import run_batches
from skmatgnn.nets._precision import module_dtype, numerics
from skmatgnn.nets._ranks import Ranks, is_first, iterator_class, over_ranks, together
from skmatgnn.nets._replay import ReplayedBatch, ReplayIterator, own_stream
from skmatgnn.nets._seeding import initialize_weights
from skmatgnn.nets._split import split_datasets
from skmatgnn.nets._step import compute_step, evaluate_step
from skmatgnn.nets._stops import locate, report_interrupt
from skmatgnn.nets._turns import taking_turns, to_host
from skmatgnn.nn._blocks import Block

if TYPE_CHECKING:
    from skmatgnn.nets._training_record import TrainingRecord

__all__ = ["GraphNet"]


class GraphNet(NeuralNet):
    """skorch net with data on the device and no synchronisation within an epoch.

    Parameters
    ----------
    module : type
        Class of the network; always the class, never an instance, which would be
        trained in place.
    seed : int, default=0
        Of the initial weights and of the shuffling.
    precision : {"float64", "float32", "tf32", "bfloat16"}, default="float32"
    lr_schedule : {"one_cycle", "constant"}, default="one_cycle"
    n_threads : int or None, default=1
        Threads of an operation on the CPU. One makes the same model in the main
        process and in a worker, and leaves the other cores to other folds.
    calibrate_norm : bool, default=True
        Whether to measure batch-norm statistics anew when training ends.
    record : TrainingRecord, optional
        Where the state of the training is kept, and taken from if it is there.
    **kwargs : object
        Anything that :class:`skorch.NeuralNet` takes.

    Notes
    -----
    Losses are summed on the device and read once an epoch, so ``history`` has the
    losses of epochs and not of batches.
    """

    ranks_: Ranks | None = None  # the processes, while several train together
    best_epoch_: int | None = None  # and its loss, of BestModel, which can be left out
    best_loss_: float = np.inf
    max_epochs: int

    def __init__(
        self,
        module: type[torch.nn.Module],
        *,
        seed: int = 0,
        precision: str = "float32",
        lr_schedule: str = "one_cycle",
        n_threads: int | None = 1,
        calibrate_norm: bool = True,
        record: TrainingRecord | None = None,
        **kwargs: Any,
    ) -> None:
        self.seed = seed
        self.precision = precision
        self.lr_schedule = lr_schedule
        self.n_threads = n_threads
        self.calibrate_norm = calibrate_norm
        self.record = record
        super().__init__(module, **kwargs)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return []

    def initialize_module(self) -> GraphNet:
        """Build the network with seeded weights.

        Returns
        -------
        GraphNet
        """
        super().initialize_module()
        self.module_.float()  # torch's default may be another, with other draws
        initialize_weights(self.module_, self.seed)
        self.module_.to(module_dtype(self.precision))
        self.shuffle_state_ = np.random.RandomState(self.seed)
        self.strategy_: FineTuning | None = None
        self.frozen_modules_: list[str] = []
        return self

    def fine_tune(self, strategy: FineTuning, n_epochs: int) -> GraphNet:
        """Train, from now on, only what a strategy names.

        Parameters
        ----------
        strategy : FineTuning
        n_epochs : int
            Length of the training, for strategies that change within it.

        Returns
        -------
        GraphNet

        Raises
        ------
        InvalidValueError
            If the network lacks what the strategy names, or learning rates of parts of
            it are set twice.
        """
        blocks = self.module_.blocks()
        trained = strategy.select(blocks)
        self.freeze([block for block in blocks if block not in trained])
        self.strategy_, self.tuning_epochs_ = strategy, n_epochs
        if strategy.rate_decay != 1.0:
            if hasattr(self, "optimizer__param_groups"):
                raise InvalidValueError(
                    f"fine_tuning={strategy.name!r} sets the learning rates of the "
                    "parts of the network itself. Leave optimizer__param_groups out of "
                    "net_params."
                )
            self.optimizer__param_groups = [
                (pattern, {"lr": self.lr * factor})
                for pattern, factor in rate_factors(self.module_, strategy).items()
            ]
            self.initialize_optimizer()
        return self

    def freeze(self, blocks: list[Block]) -> None:
        """Keep some blocks as they are, running statistics included, and no others.

        Parameters
        ----------
        blocks : list of Block
        """
        self.frozen_modules_ = freeze_blocks(self.module_, blocks)

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        for name in self.frozen_modules_:
            self.module_.get_submodule(name).eval()

    def get_dataset(self, X: DeviceDataset, y: Any = None) -> DeviceDataset:
        """Let datasets pass.

        Parameters
        ----------
        X : DeviceDataset
        y : object
            Ignored; the dataset holds the targets.

        Returns
        -------
        DeviceDataset
        """
        return X

    def get_iterator(
        self, dataset: DeviceDataset, training: bool = False
    ) -> GraphIterator:
        """Make batches on the device.

        Parameters
        ----------
        dataset : DeviceDataset
        training : bool, default=False
            Whether to shuffle.

        Returns
        -------
        GraphIterator
        """
        return iterator_class(self)(
            dataset,
            self.batch_size,
            self.device,
            dtype=module_dtype(self.precision),
            random_state=self.shuffle_state_ if training else None,
        )

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Run the network.

        Parameters
        ----------
        x : object
            Inputs of a batch, such as a GraphBatch.
        **fit_params : object
            Ignored.

        Returns
        -------
        Tensor of shape (n_samples, n_outputs)
        """
        return self.module_(x)

    def get_loss(
        self, y_pred: Tensor, y_true: Labels, X: Any = None, training: bool = False
    ) -> Tensor:
        """Evaluate the criterion.

        Parameters
        ----------
        y_pred : Tensor of shape (n_samples, n_outputs)
        y_true : Labels
        X : object
            Ignored.
        training : bool
            Ignored, but where several processes train together.

        Returns
        -------
        Tensor of shape ()
            The sum over the known values in place of their mean where several
            processes train together: they know later how many there are in all.
        """
        outputs = y_pred[: len(y_true.target)]  # without a graph of padding
        loss = self.criterion_(outputs.to(y_true.target.dtype), y_true)
        if training and self.ranks_ is not None:
            return loss * y_true.n_known()
        return loss

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute loss and gradients of a batch, or replay their computation.

        Parameters
        ----------
        batch : tuple
            Inputs and Labels.
        **fit_params : object
            Ignored.

        Returns
        -------
        dict of str to Tensor
            ``loss`` and ``y_pred``.
        """
        if isinstance(batch, ReplayedBatch):
            step = batch.run()
        else:
            step = compute_step(self, batch, **fit_params)
        if self.ranks_ is None:
            return step
        return self.ranks_.average(self.module_.parameters(), step, batch[1].n_known())

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the gradients of a batch and update the weights.

        Parameters
        ----------
        batch : tuple
            Inputs and Labels.
        **fit_params : object
            Ignored.

        Returns
        -------
        dict of str to Tensor
            ``loss`` and ``y_pred``.
        """
        if isinstance(batch, ReplayedBatch) and batch.updates():
            return batch.run()
        return super().train_step(batch, **fit_params)

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute outputs and loss of a batch.

        Parameters
        ----------
        batch : tuple
            Inputs and Labels.
        **fit_params : object
            Ignored.

        Returns
        -------
        dict of str to Tensor
            ``loss`` and ``y_pred``.
        """
        if isinstance(batch, ReplayedBatch):
            return batch.run()
        return evaluate_step(self, batch, **fit_params)

    def partial_fit(
        self, X: DeviceDataset, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> GraphNet:
        """Train on from the present weights.

        Unlike skorch's, it lets a KeyboardInterrupt pass that left nothing to keep.

        Parameters
        ----------
        X : DeviceDataset
        y : object
            Ignored; the dataset holds the targets.
        classes : object
            Ignored.
        **fit_params : object
            Ignored.

        Returns
        -------
        GraphNet

        Raises
        ------
        KeyboardInterrupt
            If no epoch was finished.
        """
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        self.completed_, leads = False, is_first(self)
        try:
            recalled = None if self.record is None else self.record.recall(self)
            self.n_recalled_ = len(self.history) if recalled else 0
            if recalled == "finished":
                self.ranks_ = None
            else:
                self.fit_loop(X, y, **fit_params)
        finally:
            self.notify("on_train_end", X=X, y=y)
        if self.record is not None and leads and self.completed_:
            self.record.write(self, finished=True)
        return self

    def fit_loop(
        self, X: DeviceDataset, y: Any = None, epochs: int | None = None, **_: Any
    ) -> GraphNet:
        """Train; Ctrl-C ends it and keeps the best model so far.

        Parameters
        ----------
        X : DeviceDataset
        y : object
            Ignored.
        epochs : int, optional
            ``max_epochs`` by default.
        **_ : object
            Ignored.

        Returns
        -------
        GraphNet

        Raises
        ------
        KeyboardInterrupt
            If no epoch was finished, so that there is nothing to keep.
        """
        self.planned_epochs_ = self.max_epochs if epochs is None else epochs
        self.stop_training_ = False
        self.interrupted_ = False
        train, valid = split_datasets(self, X)
        n_before = len(self.history) - self.n_recalled_
        try:
            with self.numerics(), own_stream(self.device), together(self):
                self.completed_ = run_epochs(self, train, valid)
        except KeyboardInterrupt:
            self.interrupted_ = True
            if len(self.history) > n_before and "dur" not in self.history[-1]:
                del self.history[-1]  # the unfinished epoch
            if getattr(self, "best_epoch_", None) is None:
                raise
            report_interrupt(self, len(self.history) - n_before)
        return self

    def numerics(self) -> AbstractContextManager[None]:
        """Compute with the net's precision and number of threads.

        Returns
        -------
        context manager
        """
        return numerics(self.precision, self.device, self.n_threads)

    @contextmanager
    def epochs(self, number: int) -> Iterator[None]:
        """Train for another number of epochs within the context.

        Parameters
        ----------
        number : int

        Yields
        ------
        None
        """
        before, self.max_epochs = self.max_epochs, number
        try:
            yield
        finally:
            self.max_epochs = before

    def run_single_epoch(
        self,
        iterator: GraphIterator | ReplayIterator | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Run all batches and record their mean loss.

        Parameters
        ----------
        iterator : GraphIterator, ReplayIterator or None
            None is skipped.
        training : bool
        prefix : {"train", "valid"}
        step_fn : callable
        **fit_params : object
        """
        if iterator is None:
            return
        tallies = run_batches(self, iterator, training, step_fn, **fit_params)
        [(loss, known)] = over_ranks(self, tallies.sum(0))
        mean = float(loss) / max(int(known), 1)
        self.history.record(f"{prefix}_loss", mean)
        if training and not np.isfinite(mean):
            self.bad_step_ = locate(tallies[:, 0], iterator)
        self.history.record(f"{prefix}_batch_count", len(iterator))

    def apply(
        self,
        dataset: DeviceDataset,
        function: Callable[[Any], Tensor],
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Evaluate a function of batches over a dataset, in its order.

        Parameters
        ----------
        dataset : DeviceDataset
        function : callable
            Of a batch's inputs; gives a tensor of shape (n_samples, d).
        batch_size : int, optional
            That of training by default.

        Returns
        -------
        ndarray of shape (n, d), float64
        """
        self._set_training(False)
        size = min(batch_size or self.batch_size, len(dataset))
        while True:
            evaluate = partial(self._evaluate, dataset, function, size)
            outputs, trouble = unless_out_of_memory(evaluate)
            if not trouble:
                return outputs
            size = smaller_batch(size, trouble, doing="it evaluates with")

    def _evaluate(
        self, dataset: DeviceDataset, function: Callable[[Any], Tensor], size: int
    ) -> np.ndarray:
        iterator = self.get_iterator(dataset)
        iterator.batch_size = size
        parts = []
        with torch.inference_mode(), self.numerics():
            for batch, _ in iterator:
                with taking_turns(self.device):
                    parts.append(function(batch).double())
            return to_host(torch.cat(parts))

    def forward_iter(
        self, X: DeviceDataset, training: bool = False, device: str = "cpu"
    ) -> Iterator[Tensor]:
        """Yield the outputs batch by batch, as skorch does.

        Parameters
        ----------
        X : DeviceDataset
        training : bool, default=False
        device : str, default="cpu"

        Yields
        ------
        Tensor of shape (n_samples, n_outputs)
        """
        for batch in self.get_iterator(self.get_dataset(X)):
            yield self.evaluation_step(batch, training=training).to(device)
