"""The state of a training on disk, from which it goes on after it was stopped."""

from __future__ import annotations

import warnings
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from skmatgnn.errors import InvalidValueError
from skmatgnn.nets._checkpoint import read_sealed, write_sealed
from skmatgnn.nets._encoding import PlainDecoder, PlainEncoder
from skmatgnn.nets._fingerprint import fingerprint
from skmatgnn.nets._net_state import get_state, set_state
from skmatgnn.utils.packed_file import remove_unfinished

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["TrainingRecord", "TrainingStateWarning", "require_writable"]

FORMAT = "skmatgnn.training"
VERSION = 1
MOST_SHARE = 0.02  # of the training's time that writing may take
NAME_LENGTH = 20
_DAMAGE = (
    *(LookupError, TypeError, AttributeError, ValueError, RuntimeError),
    *(ArithmeticError, MemoryError, AssertionError),
)


class TrainingStateWarning(UserWarning):
    """A training state could not be written, or not all of it."""


class TrainingRecord:
    """File from which one training goes on after it was stopped.

    The file is named by a fingerprint of the data, the initial weights and all settings
    of the training, so that another training has another file. It is written after the
    first epoch, and then as often as costs two percent of the time; when the training
    ends, it holds the result.

    Parameters
    ----------
    folder : Path
        Where the file is; it must be there.
    name : str
        What its name begins with.
    net : GraphNet
        Initialised and not yet trained.
    dataset : DeviceDataset
        That it will be trained on.
    n_devices : int, default=1
        Together.

    Attributes
    ----------
    path : Path
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        net: GraphNet,
        dataset: DeviceDataset,
        n_devices: int = 1,
    ) -> None:
        self.fingerprint = fingerprint(net, dataset, n_devices)
        self.path = folder / f"{name}-{self.fingerprint[:NAME_LENGTH]}.safetensors"
        self._seconds, self._last = 0.0, perf_counter()
        self._warned = False
        remove_unfinished(self.path)

    def recall(self, net: GraphNet) -> str | None:
        """Bring a net to where an earlier run was.

        Parameters
        ----------
        net : GraphNet
            Whose callbacks have begun to train.

        Returns
        -------
        {"finished", "unfinished"} or None
            How far it was; None if there was none.

        Raises
        ------
        InvalidValueError
            If the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            config, arrays, _ = read_sealed(
                self.path,
                kind=FORMAT,
                newest=VERSION,
                what="training state",
                other="Something else has its name.",
            )
            if config["fingerprint"] != self.fingerprint:
                raise InvalidValueError("it belongs to another training")
            finished = config["finished"]
            lost = set_state(net, PlainDecoder(arrays).decode(config["state"]))
        except _DAMAGE as error:
            cause = " ".join(str(error).split())[:500]
            raise InvalidValueError(
                f"The training cannot go on from {self.path}: {cause} Delete this file "
                "to train from the start."
            ) from error
        if lost:
            self._warn(
                f"{', '.join(lost)} could not be given the state of the former run, as "
                "what has it was not there yet; make it in on_train_begin."
            )
        return "finished" if finished else "unfinished"

    def after_epoch(self, net: GraphNet) -> None:
        """Write the state, unless that would cost too much so soon.

        Parameters
        ----------
        net : GraphNet
        """
        if MOST_SHARE * (perf_counter() - self._last) >= self._seconds:
            self.write(net, finished=False)

    def write(self, net: GraphNet, *, finished: bool) -> None:
        """Write the state; if that fails, warn and leave the old file.

        Parameters
        ----------
        net : GraphNet
        finished : bool
            Whether this is the result.
        """
        start = perf_counter()
        encoder = PlainEncoder()
        state, lost = get_state(net)
        config = {
            "fingerprint": self.fingerprint,
            "finished": finished,
            "torch": str(torch.__version__),
            "state": encoder.encode(state, "state"),
        }
        if lost:
            self._warn(
                f"{', '.join(lost)} cannot be kept in a training state without pickle; "
                "if the training is stopped and goes on, they begin anew."
            )
        try:
            write_sealed(
                self.path, config, encoder.arrays, kind=FORMAT, version=VERSION
            )
        except OSError as error:
            kept = "the last state that was" if self.path.exists() else "no state"
            self._warn(
                f"The training goes on, but its state of epoch {len(net.history)} is "
                f"not kept ({error}); {kept} written stays. Make room, or give another "
                "checkpoint_dir."
            )
        self._last = perf_counter()
        self._seconds = self._last - start

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(message, TrainingStateWarning, stacklevel=4)


def require_writable(folder: Any) -> Path:
    """Make a folder, if it is not there, and try whether files can be made in it.

    Parameters
    ----------
    folder : str or path-like

    Returns
    -------
    Path

    Raises
    ------
    InvalidValueError
        If not.
    """
    import tempfile

    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".trial") as file:
            file.write(b"trial")
            file.flush()
    except OSError as error:
        raise InvalidValueError(
            f"checkpoint_dir={str(folder)!r} cannot be written to ({error}). Give a "
            "folder that can be, or None to train without it."
        ) from error
    return folder
