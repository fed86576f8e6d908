"""CrabNet's part of ``composition_*.py``; runs in the Python that has crabnet.

One process fits once: with newer torch a second fit of crabnet 2.0.8 fails.
"""

from __future__ import annotations

import os
import warnings

from _side import SEED, Stopwatch, clock, cpu_seconds, read_job, send

os.environ["MPLBACKEND"] = "Agg"
warnings.filterwarnings("ignore")  # old APIs of its dependencies

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from crabnet.crabnet_ import CrabNet  # noqa: E402


class EnoughError(Exception):
    pass


class TimedCrabNet(CrabNet):
    """Keeps the time of each epoch; stops after a number of them if told.

    With ``keep_best`` it keeps the weights of the epoch with the lowest error on the
    held-out rows, too, beside those that crabnet averages in its last epochs.
    """

    now, stop_after = staticmethod(cpu_seconds), None
    keep_best, best_error, best_state = False, np.inf, None

    def _train(self):
        start = self.now()
        super()._train()
        self.epoch_seconds.append(round(self.now() - start, 4))
        if len(self.epoch_seconds) == self.stop_after:
            raise EnoughError
        if self.keep_best:
            mode = self.model.training  # which predict changes for good
            found, true = self.predict(loader=self.data_loader, return_true=True)
            self.model.train(mode)
            error = np.abs(found - true).mean()
            if error < self.best_error:
                self.best_error, state = error, self.model.state_dict()
                self.best_state = {key: value.clone() for key, value in state.items()}


def main():
    job = read_job()
    torch.set_num_threads(1)
    settings = job["settings"]
    device = settings.get("device", "cpu")
    watch = Stopwatch(clock(device))
    torch.set_float32_matmul_precision(settings.get("matmul", "highest"))
    model = TimedCrabNet(
        **settings["params"],
        force_cpu=device == "cpu",
        verbose=False,
        losscurve=False,
        learningcurve=False,
        save=False,
        random_state=settings.get("seed", SEED),
    )
    model.epoch_seconds, model.now = [], watch.now
    model.stop_after = settings.get("stop_after")
    known = pd.DataFrame({"formula": job["train"], "target": job["y"]})
    parts, held_out = [known], known.index.isin(job["held_out"])
    if held_out.any():
        parts = [known[~held_out], known[held_out]]
        model.keep_best = True
    try:
        watch.measure("fit", model.fit, *parts)
    except EnoughError:
        send(job, ["crabnet", "torch"], epoch_seconds=model.epoch_seconds)
        return
    unseen = pd.DataFrame({"formula": job["test"], "target": 0.0})
    found = watch.measure("predict", model.predict, unseen)
    more = {}
    if model.best_state:
        model.model.load_state_dict(model.best_state)
        more["best_predictions"] = model.predict(unseen).tolist()
    send(
        job,
        ["crabnet", "torch"],
        predictions=found.tolist(),
        fit_s=watch.seconds["fit"],
        predict_s=watch.seconds["predict"],
        epoch_seconds=model.epoch_seconds,
        steps={"batch_size": model.batch_size, "epochs": len(model.epoch_seconds)},
        **more,
    )


main()
