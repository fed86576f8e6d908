"""Fits of the transfer study, in processes side by side, each kept when it is done."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import NamedTuple

import torch

from skmatgnn.errors import SkmatgnnError
from skmatgnn.estimators import load_estimator
from skmatgnn.model_selection._transfer_plan import fit_and_predict, fit_and_save


class Job(NamedTuple):
    """A fit, or, without a fit, a pre-training."""

    plan: int
    key: str
    start: str | None
    fit: object
    pretraining: object


def read_rows(path):
    """Rows of a JSON-lines file, but for a line that a full disk has cut."""
    rows = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                sys.stderr.write(f"{path}: a damaged line is left out\n")
    return rows


def say(text):
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Study:
    """What is to be done, what is done, and who does it."""

    def __init__(self, plans, out, wanted, settings):
        self.plans, self.out, self.settings = plans, out, settings
        self.models = out.with_suffix(".models")
        self.models.mkdir(parents=True, exist_ok=True)
        self.rows = {}
        for row in read_rows(out):
            self.rows.setdefault(row["key"], {})[row["part"], row["label"]] = row
        # a fit may be in two parts, such as the plain fine-tuning of a pair
        self.fits, self.starts, self.parts_of = {}, {}, {}
        for number, (part, label, plan) in enumerate(plans):
            for fit in plan.fits():
                if wanted(part, fit):
                    self._add(number, part, label, fit)
        self.total = len(self.parts_of)
        self.n_done = self.total - len(self.fits)
        self.starts = {
            key: job for key, job in self.starts.items() if not self._usable(key)
        }

    def _add(self, number, part, label, fit):
        plan = self.plans[number][2]
        key = plan.fit_key(fit)
        self.parts_of.setdefault(key, []).append((part, label))
        known = self.rows.get(key)
        if known is not None:
            if (part, label) not in known:
                row = {**next(iter(known.values())), "part": part, "label": label}
                self._write(row)
            return
        pretraining = plan.pretraining(fit)
        start = None
        if pretraining is not None:
            start = plan.pretraining_key(pretraining)
            self.starts.setdefault(start, Job(number, start, None, None, pretraining))
        self.fits.setdefault(key, Job(number, key, start, fit, None))

    def _path(self, key):
        return self.models / f"{key}.safetensors"

    def _usable(self, key):
        try:
            load_estimator(self._path(key), device="cpu")
        except SkmatgnnError:
            return False
        return True

    def run(self, n_jobs, n_threads, deadline):
        """Do all jobs; 0 if all went well, be it that the time was up.

        Processes are dealt out to the GPUs there are; the fits of one process share
        its GPU, each on a stream of its own.
        """
        say(
            f"{self.n_done} of {self.total} fits done, {len(self.starts)} models to "
            "pre-train"
        )
        if not self.fits:
            return 0
        n_jobs = min(n_jobs, len(self.fits) + len(self.starts))
        plans = [plan for _, _, plan in self.plans]
        workers = [start_worker(i, n_threads) for i in range(n_jobs)]
        for first, *_ in workers:  # all are started by now, as each must be to receive
            first.send(plans)
        connections = [
            c for of_threads in zip(*workers, strict=True) for c in of_threads
        ]
        try:
            failed, stopped = self._share_out(connections, deadline)
        finally:
            for worker in multiprocessing.active_children():
                worker.terminate()
                worker.join()
            for connection in connections:
                connection.close()
        if stopped:
            say(
                f"the time is up: {self.n_done} of {self.total} fits done; run it again"
            )
        return 1 if failed else 0

    def _share_out(self, connections, deadline):
        fits = sorted(self.fits.values(), key=lambda job: job.fit.trial)
        waiting = [*self.starts.values(), *fits]
        to_come, busy, failed = set(self.starts), {}, False
        lost = set()  # pre-trainings that failed
        while waiting or busy:
            for connection in connections:
                if connection not in busy:
                    job = next((j for j in waiting if j.start not in to_come), None)
                    if job is None:
                        break
                    waiting.remove(job)
                    connection.send((job, str(self._path(job.start or job.key))))
                    busy[connection] = job
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = wait(list(busy), left)
            if not ready:
                return failed, True
            for connection in ready:
                job = busy.pop(connection)
                ok, payload = connection.recv()
                if not ok:
                    say(payload)
                    failed = True
                    lost |= set() if job.fit else {job.key}
                elif job.fit is None:
                    to_come.discard(job.key)
                    used = self.plans[job.plan][2].pretraining_rows(job.pretraining)
                    rows = ", ".join(f"{len(n)} of {name}" for name, n in used.items())
                    say(f"pre-trained on {rows}, {payload:.0f} s")
                else:
                    self._keep(job, payload)
                    say(f"{self.n_done} of {self.total}: {job.fit}")
            waiting = [job for job in waiting if job.start not in lost]
        return failed, False

    def _keep(self, job, row):
        for part, label in self.parts_of[job.key]:
            head = {"key": job.key, "part": part, "label": label}
            self._write({**head, "settings": self.settings, **row})
        self.n_done += 1

    def _write(self, row):
        cut = self.out.exists() and self.out.stat().st_size > 0
        if cut:
            with self.out.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                cut = file.read(1) != b"\n"
        with self.out.open("a", encoding="utf-8") as file:
            file.write(("\n" if cut else "") + json.dumps(row) + "\n")


def start_worker(number, n_threads):
    """Start a process; a connection to each of its threads. The first takes plans."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = zip(*(context.Pipe() for _ in range(n_threads)), strict=True)
    process = context.Process(target=work_in_threads, args=(theirs,), daemon=True)
    with visible_gpu(number):
        process.start()
    for connection in theirs:
        connection.close()
    return ours


@contextmanager
def visible_gpu(number):
    """Let processes that are started see one of the GPUs.

    It has to be in their environment from the beginning: CUDA looks only once.
    """
    name, before = "CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = (before or ",".join(map(str, range(torch.cuda.device_count())))).split(",")
    os.environ[name] = gpus[number % len(gpus)]
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def work_in_threads(connections):
    """Do jobs, as many side by side as there are connections."""
    torch.set_num_threads(1)
    plans = connections[0].recv()
    threads = [
        threading.Thread(target=work, args=(connection, plans), daemon=True)
        for connection in connections
    ]
    for thread in threads:
        thread.start()
    with suppress(KeyboardInterrupt):
        for thread in threads:
            thread.join()


def work(connection, plans):
    """Do jobs until the parent ends."""
    try:
        while True:
            job, path = connection.recv()
            try:
                result = True, do(plans[job.plan], job, path)
            except Exception:  # noqa: BLE001 - told to the parent, who goes on
                result = (
                    False,
                    f"{job.fit or job.pretraining}: {traceback.format_exc()}",
                )
            connection.send(result)
    except EOFError:
        return


def do(plan, job, path):
    if job.fit is None:
        return fit_and_save(*plan.pretraining_task(job.pretraining), path)
    start = None if job.start is None else path
    y_pred, seconds = fit_and_predict(*plan.fit_task(job.fit, start))
    row = plan.row(job.fit, y_pred, seconds)
    dataset, test = plan.datasets[job.fit.target], plan.test[job.fit.target]
    y = dataset.y[test]
    row["y"] = [float(f"{value:.6g}") for value in y]
    row["y_pred"] = [float(f"{value:.6g}") for value in y_pred]
    return row
