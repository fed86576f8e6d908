"""Time what an epoch on the CPU saves by small things, paired, in CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/update_cpu.py [--repeats 5] [--json FILE]

"AdamW": epochs of the default networks with torch's fused form, which is the default,
against its plain one, with all else equal; 1,024 formulas, or 256 made-up crystals. An
epoch is the difference between fits of seven and of two epochs, over five. "dropout":
drawing and applying a mask of a batch, against `bernoulli_`. "MODNet": forward and
backward of its default network on 64 rows, against the product in the other order, of
which the gradients of the weights have to be copied. The two sides take turns; times
are the smallest of the repeats, as other programs can only add to them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

import skmatgnn
from skmatgnn.datasets import load_formation_energies, make_crystals
from skmatgnn.nn import MODNet
from skmatgnn.nn._noise import NoiseSource
from skmatgnn.nn.models.modnet import MemberLinear

LONG, SHORT = 7, 2
NETWORKS = ("CrabNetRegressor", "MODNetRegressor", "ALIGNNRegressor", "CGCNNRegressor")
MASK = (96, 512)  # of the tokens of 32 formulas, in the widest layer of CrabNet
DROPPED = 0.1
MODNET = {"n_neurons": ((256,), (128,), (64,), ()), "n_members": 5}
FEATURES, ROWS = 227, 64


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def paired(name, before, after, repeats):
    """Smallest times of two functions that take turns and return theirs."""
    before(), after()
    times = np.array([(before(), after()) for _ in range(repeats)])
    plain, ours = times.min(axis=0)
    print(
        f"{name:26} {1e3 * plain:9.3f} ms before, {1e3 * ours:9.3f} ms after: "
        f"{plain / ours:.2f} times as fast",
        flush=True,
    )
    return {"name": name, "before_s": plain, "after_s": ours}


def epochs(network, n_samples, repeats):
    if network in ("CrabNetRegressor", "MODNetRegressor"):
        X, y = load_formation_energies(return_X_y=True)
        X, y = X[: 4 * n_samples], y[: 4 * n_samples]
    else:
        X, y = make_crystals(n_samples, random_state=0, return_X_y=True)
    make = getattr(skmatgnn, network)

    def epoch(fused):
        def seconds(n_epochs):
            model = make(
                max_epochs=n_epochs,
                random_state=0,
                device="cpu",
                net_params={"optimizer__fused": fused},
            )
            return cpu_seconds(lambda: model.fit(X, y))

        return (seconds(LONG) - seconds(SHORT)) / (LONG - SHORT)

    name = f"AdamW, {network}"
    return paired(name, lambda: epoch(False), lambda: epoch(True), repeats)


def masks(repeats):
    x, source = torch.randn(MASK), NoiseSource()
    generator = torch.Generator().manual_seed(0)

    def bernoulli():
        keep = torch.empty_like(x).bernoulli_(1 - DROPPED, generator=generator)
        return x * keep.div_(1 - DROPPED)

    return paired(
        "dropout",
        lambda: cpu_seconds(bernoulli),
        lambda: cpu_seconds(lambda: source.dropout(x, DROPPED)),
        20 * repeats,
    )


class RowsFirst(MemberLinear):
    """The product in the other order."""

    def forward(self, x):
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))


def products(repeats):
    ours = MODNet(FEATURES, activation="silu", **MODNET)
    other = MODNet(FEATURES, activation="silu", **MODNET)
    other.load_state_dict(ours.state_dict())
    for module in other.modules():
        if type(module) is MemberLinear:
            module.__class__ = RowsFirst
    x = torch.randn(ROWS, FEATURES)
    torch.testing.assert_close(other(x), ours(x))

    def step(net):
        for parameter in net.parameters():
            parameter.grad = None
        net(x).abs().mean().backward()

    return paired(
        "MODNet's products",
        lambda: cpu_seconds(lambda: step(other)),
        lambda: cpu_seconds(lambda: step(ours)),
        20 * repeats,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samples", type=int, default=256, help="formulas are 4 times")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(platform.processor() or platform.machine(), "torch", torch.__version__)
    rows = [masks(options.repeats), products(options.repeats)]
    rows += [epochs(name, options.samples, options.repeats) for name in NETWORKS]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
