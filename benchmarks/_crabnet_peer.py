"""CrabNet's part of ``composition_models.py``; runs in the Python that has crabnet.

One process fits once: with newer torch a second fit of crabnet 2.0.8 fails.
"""

from __future__ import annotations

import os
import warnings

from _side import SEED, Stopwatch, cpu_seconds, read_job, send

os.environ["MPLBACKEND"] = "Agg"
warnings.filterwarnings("ignore")  # old APIs of its dependencies

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from crabnet.crabnet_ import CrabNet  # noqa: E402


class EnoughError(Exception):
    pass


class TimedCrabNet(CrabNet):
    """Keeps the CPU time of each epoch; stops after a number of them if told."""

    stop_after = None

    def _train(self):
        start = cpu_seconds()
        super()._train()
        self.epoch_seconds.append(round(cpu_seconds() - start, 3))
        if len(self.epoch_seconds) == self.stop_after:
            raise EnoughError


def main():
    job = read_job()
    torch.set_num_threads(1)
    watch, settings = Stopwatch(), job["settings"]
    model = TimedCrabNet(
        **settings["params"],
        force_cpu=True,
        verbose=False,
        losscurve=False,
        learningcurve=False,
        save=False,
        random_state=SEED,
    )
    model.epoch_seconds = []
    model.stop_after = settings.get("stop_after")
    known = pd.DataFrame({"formula": job["train"], "target": job["y"]})
    try:
        watch.measure("fit", model.fit, known)
    except EnoughError:
        send(job, ["crabnet", "torch"], epoch_seconds=model.epoch_seconds)
        return
    unseen = pd.DataFrame({"formula": job["test"], "target": 0.0})
    found = watch.measure("predict", model.predict, unseen)
    send(
        job,
        ["crabnet", "torch"],
        predictions=found.tolist(),
        fit_s=watch.seconds["fit"],
        predict_s=watch.seconds["predict"],
        epoch_seconds=model.epoch_seconds,
        steps={"batch_size": model.batch_size, "epochs": len(model.epoch_seconds)},
    )


main()
