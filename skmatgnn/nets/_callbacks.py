"""What happens around epochs: best model, early stop, learning rate, progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from tqdm.auto import tqdm

from skmatgnn.nets._turns import to_host
from skmatgnn.nn.layers import BatchNorm

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = [
    "BestModel",
    "CalibrateNorm",
    "EarlyStop",
    "GradualUnfreezing",
    "OneCycle",
    "ProgressBar",
]


def _monitored(net: GraphNet) -> str:
    names = ("monitored_loss", "valid_loss", "train_loss")
    return next(name for name in names if name in net.history[-1])


def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    """Copy the tensors of a network to those of another, in one launch."""
    torch._foreach_copy_([*target.values()], [source[name] for name in target])


def _is_finite(net: GraphNet) -> bool:
    sizes = torch._foreach_norm([*net.module_.parameters()], 1)  # noqa: SLF001 - fast
    return bool(np.isfinite(to_host(torch.stack(sizes))).all())


class BestModel(Callback):
    """Remember the best epoch and restore its weights when training ends.

    Best is the lowest validation loss, or training loss where nothing was held out;
    of many properties it is the mean of their validation losses. An epoch whose last
    steps broke the weights is none, though its training loss does not show it yet.
    """

    def on_train_begin(self, net: GraphNet, **_: Any) -> None:
        """Forget an earlier run.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        net.best_epoch_, net.best_loss_ = None, np.inf
        self.state_: dict[str, Tensor] | None = None

    def on_epoch_end(self, net: GraphNet, **_: Any) -> None:
        """Keep the weights if they are the best so far.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        name = _monitored(net)
        loss = net.history[-1, name]
        if loss < net.best_loss_ and (name != "train_loss" or _is_finite(net)):
            net.best_epoch_, net.best_loss_ = len(net.history), loss
            state = net.module_.state_dict()
            if self.state_ is None:
                self.state_ = {key: value.clone() for key, value in state.items()}
            else:
                _copy(state, self.state_)

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Restore.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if self.state_ is not None:
            _copy(self.state_, net.module_.state_dict())
        self.state_ = None

    def training_state(self) -> dict[str, Any]:
        """Say what another run needs to go on from here.

        Returns
        -------
        dict
        """
        return {"best": self.state_}

    def set_training_state(self, net: GraphNet, state: dict[str, Any]) -> None:
        """Go on where another run was.

        Parameters
        ----------
        net : GraphNet
        state : dict
            As :meth:`training_state` gives it.
        """
        best = state["best"]
        if best is not None:
            best = {key: value.to(net.device) for key, value in best.items()}
        self.state_ = best


class CalibrateNorm(Callback):
    """Measure batch-norm statistics with the final weights when training ends.

    The running averages of training lag behind the weights, by a lot where there were
    only a few steps. Nothing is done without batch norm, nor where
    ``net.calibrate_norm`` is False, as in ``partial_fit``, which sees part of the data.

    References
    ----------
    Wu, Johnson, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, section 3.
    """

    def on_epoch_begin(
        self, net: GraphNet, dataset_train: Any = None, **_: Any
    ) -> None:
        """Note the training data.

        Parameters
        ----------
        net : GraphNet
        dataset_train : DeviceDataset
        **_ : object
        """
        self.dataset_ = dataset_train

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Run once over the training data and average the batches' statistics.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        dataset = self.__dict__.pop("dataset_", None)
        norms = [m for m in net.module_.modules() if isinstance(m, BatchNorm)]
        norms = [norm for norm in norms if norm.weight.requires_grad]
        if not norms or dataset is None or not net.calibrate_norm:
            return
        momentum = norms[0].momentum
        net.module_.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        with torch.no_grad(), net.numerics():
            for batch, _labels in net.get_iterator(dataset):
                net.module_(batch)
        for norm in norms:
            norm.momentum = momentum


class EarlyStop(Callback):
    """Stop when the validation loss has not improved for some epochs.

    Parameters
    ----------
    patience : int
        Epochs without improvement.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_epoch_end(self, net: GraphNet, **_: Any) -> None:
        """Ask the net to stop.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if net.best_epoch_ is None or "valid_loss" not in net.history[-1]:
            return
        if len(net.history) - net.best_epoch_ >= self.patience:
            net.stop_training_ = True


class OneCycle(Callback):
    """Raise the learning rate to ``net.lr`` and anneal it to zero within the run.

    The momentum of Adam and its kind falls and rises along with it, unless the user has
    set its betas. Does nothing but reset the rate where ``net.lr_schedule`` is
    ``"constant"``.

    References
    ----------
    Smith, Topin, "Super-convergence", arXiv:1708.07120.
    """

    reads_outputs_of: ClassVar[tuple[str, ...]] = ()  # lets steps on a GPU wait

    def on_train_begin(self, net: GraphNet, X: Any = None, **_: Any) -> None:
        """Reset the rate.

        Parameters
        ----------
        net : GraphNet
        X : DeviceDataset
        **_ : object
        """
        self.scheduler_: OneCycleLR | None = None
        for group in net.optimizer_.param_groups:
            group["lr"] = group.setdefault("peak_lr", group["lr"])
            if "betas" in group:  # which a cycle changes along with the rate
                group["betas"] = group.setdefault("first_betas", group["betas"])

    def on_epoch_begin(
        self, net: GraphNet, dataset_train: Any = None, **_: Any
    ) -> None:
        """Plan the run when its number of steps is known.

        Parameters
        ----------
        net : GraphNet
        dataset_train : DeviceDataset
        **_ : object
        """
        if net.lr_schedule == "constant" or self.scheduler_ is not None:
            return
        n_steps = net.planned_epochs_ * -(-len(dataset_train) // net.batch_size)
        # one step is too short for a cycle
        self._plan(net, int(max(n_steps, 2)) + 1)  # not of NumPy

    def _plan(self, net: GraphNet, n_steps: int) -> None:
        own = hasattr(net, "optimizer__betas")
        self.scheduler_ = OneCycleLR(
            net.optimizer_,
            [group["peak_lr"] for group in net.optimizer_.param_groups],
            total_steps=n_steps,
            # the momentum of others is none by default, or what the user has set
            cycle_momentum="betas" in net.optimizer_.defaults and not own,
        )

    def on_batch_end(self, net: GraphNet, training: bool = False, **_: Any) -> None:
        """Advance by one step.

        Parameters
        ----------
        net : GraphNet
        training : bool
        **_ : object
        """
        if training and self.scheduler_ is not None:
            self.scheduler_.step()

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Drop the scheduler, which a pickled net need not carry.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.scheduler_ = None

    def training_state(self) -> dict[str, Any]:
        """Say what another run needs to go on from here.

        Returns
        -------
        dict
        """
        if self.scheduler_ is None:
            return {}
        names = ("total_steps", "last_epoch", "_step_count")
        return {name: getattr(self.scheduler_, name) for name in names}

    def set_training_state(self, net: GraphNet, state: dict[str, Any]) -> None:
        """Go on where another run was.

        Parameters
        ----------
        net : GraphNet
        state : dict
            As :meth:`training_state` gives it.
        """
        if state:
            self._plan(net, state["total_steps"])
            vars(self.scheduler_).update(state)


class GradualUnfreezing(Callback):
    """Train the head first, and one depth more of the network after each stage.

    Stages are equally long, and from half of the epochs on all is trained. Does
    nothing where ``net.strategy_`` is not gradual.

    References
    ----------
    Howard, Ruder, arXiv:1801.06146, section 3.2.
    """

    def on_epoch_begin(self, net: GraphNet, **_: Any) -> None:
        """Freeze what is below the present stage.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if net.strategy_ is None or not net.strategy_.gradual:
            return
        blocks = net.module_.blocks()
        last = blocks[-1].depth
        done = len(net.history) - 1
        # depths below the head that are in, of `last`, within half of the epochs
        n_open = min(2 * last * done // net.tuning_epochs_, last)
        net.freeze([block for block in blocks if block.depth < last - n_open])


class ProgressBar(Callback):
    """A tqdm bar over epochs with the current losses."""

    first_process_only = True  # of several that train together

    def on_train_begin(self, net: GraphNet, **_: Any) -> None:
        """Start without a bar: the number of epochs is not known yet.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.bar_: Any = None

    def on_epoch_begin(self, net: GraphNet, **_: Any) -> None:
        """Open the bar.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if self.bar_ is None:
            self.bar_ = tqdm(
                total=net.planned_epochs_,
                initial=net.n_recalled_,
                desc="epochs",
                unit="epoch",
            )

    def on_epoch_end(self, net: GraphNet, **_: Any) -> None:
        """Show the losses.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        losses = {
            name: f"{net.history[-1, name]:.4g}"
            for name in ("train_loss", "valid_loss")
            if name in net.history[-1]
        }
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Close the bar.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if self.bar_ is not None:
            self.bar_.close()
        self.bar_ = None
