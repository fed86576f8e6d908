"""Our part of ``composition_*.py``: one estimator, in a process of its own."""

from __future__ import annotations

import numpy as np
import torch
from _side import SEED, Stopwatch, clock, read_job, send
from skorch.callbacks import Callback

import skmatgnn
from skmatgnn import presets


class EpochTimes(Callback):
    """Keeps the time of each epoch."""

    def __init__(self, now):
        self.seconds, self.now = [], now

    def on_epoch_begin(self, *_, **__):
        self.start = self.now()

    def on_epoch_end(self, *_, **__):
        self.seconds.append(round(self.now() - self.start, 4))


class HeldOut:
    """The rows that the job says, for the choice of the epoch."""

    def __init__(self, rows):
        self.rows = rows

    def __call__(self, dataset, y=None, **_):
        rest = np.setdiff1d(np.arange(len(dataset)), self.rows)
        return dataset.subset(rest), dataset.subset(np.sort(self.rows))


def main():
    job = read_job()
    torch.set_num_threads(1)
    settings = job["settings"]
    device = settings.get("device", "cpu")
    watch = Stopwatch(clock(device))
    params = {"random_state": settings.get("seed", SEED), **settings["params"]}
    if preset := settings.get("preset"):
        params = {**getattr(presets, preset), **params}
    if job["held_out"]:
        params |= {
            "early_stopping": True,
            "n_iter_no_change": params["max_epochs"],
            "average_duplicates": False,  # so that rows are those of the job
            "net_params": {"train_split": HeldOut(job["held_out"])},
        }
    times = EpochTimes(watch.now)
    if settings["estimator"] != "make_rf_magpie":
        params |= {"device": device, "callbacks": [("epoch_times", times)]}
    model = getattr(skmatgnn, settings["estimator"])(**params)
    watch.measure("fit", model.fit, job["train"], job["y"])
    found = watch.measure("predict", model.predict, job["test"])
    send(
        job,
        ["torch", "scikit-learn", "numpy"],
        predictions=found.tolist(),
        fit_s=watch.seconds["fit"],
        predict_s=watch.seconds["predict"],
        epoch_seconds=times.seconds,
        steps={},
    )


main()
