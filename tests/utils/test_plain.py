"""Functions and objects as plain values: what is told apart, and what is the same."""

from __future__ import annotations

import importlib.util
import json
import math
import operator
import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

import skmatgnn
from skmatgnn.utils.digest import digest
from skmatgnn.utils.plain import PlainDescriber


def hashed(value):
    plain = PlainDescriber()
    return digest(plain.describe(value), plain.referred())


def with_factor(factor):
    return lambda x: x * factor


def with_default(factor):
    def scaled(x, factor=factor, *, power=1):
        return x * factor**power

    return scaled


def make_class(factor, name="scale"):
    def call(self, x):
        return x * factor

    return type("Scale", (), {"__qualname__": "Scale", name: call})


class Box:
    """Has a callable among its attributes."""

    def __init__(self, content):
        self.content = content

    def take(self, x):
        return self.content(x)

    def __call__(self, x):
        return self.content(x)


FROM_SOURCE = {
    "code": ("def f(x): return x + x", "def f(x): return x * x"),
    "constant": ("def f(x): return x + 1", "def f(x): return x + 1.0"),
    "attribute": ("def f(x): return x.mean()", "def f(x): return x.sum()"),
    "inner": (
        "def f(x): return [(lambda y: y + 1)(z) for z in x]",
        "def f(x): return [(lambda y: y + 2)(z) for z in x]",
    ),
    "set": (
        "def f(x): return x in {'a', 'b', 'c'}",
        "def f(x): return x in {'a', 'b', 'd'}",
    ),
    "keyword": ("def f(*, x): return x", "def f(x): return x"),
    "of its module": ("A = 1\ndef f(x): return A", "A = 2\ndef f(x): return A"),
    "helper": (
        "def g(x): return x\ndef f(x): return g(x)",
        "def g(x): return -x\ndef f(x): return g(x)",
    ),
    "helpers that call each other": (
        "def g(x): return f(x)\ndef f(x): return g(x) + 1",
        "def g(x): return f(x) + 2\ndef f(x): return g(x) + 1",
    ),
    "decorator": (
        "def d(g): return lambda x: g(x)\n@d\ndef f(x): return x",
        "def d(g): return lambda x: g(g(x))\n@d\ndef f(x): return x",
    ),
    "method": (
        "class f:\n  def g(self): return 1",
        "class f:\n  def g(self): return 2",
    ),
    "static method": (
        "class f:\n  @staticmethod\n  def g(): return 1",
        "class f:\n  @staticmethod\n  def g(): return 2",
    ),
    "property": (
        "class f:\n  @property\n  def g(self): return 1",
        "class f:\n  @property\n  def g(self): return 2",
    ),
    "cached property": (
        "import functools as t\nclass f:\n  @t.cached_property\n  def g(s): return 1",
        "import functools as t\nclass f:\n  @t.cached_property\n  def g(s): return 2",
    ),
    "class attribute": ("class f:\n  a = 1", "class f:\n  a = 2"),
    "base class": (
        "class b:\n  a = 1\nclass f(b):\n  def g(self): return super().g()",
        "class b:\n  a = 2\nclass f(b):\n  def g(self): return super().g()",
    ),
    "instance": (
        "class c:\n  def __call__(self): return 1\nf = c()",
        "class c:\n  def __call__(self): return 2\nf = c()",
    ),
}


def run_source(source, name="a_script"):
    space = {"__name__": name}
    exec(compile(source, f"<{id(source)}>", "exec"), space)  # noqa: S102
    return space["f"]


@pytest.mark.parametrize("which", FROM_SOURCE)
def test_description__of_other_source__is_another(which):
    one, other = FROM_SOURCE[which]
    assert hashed(run_source(one)) != hashed(run_source(other))
    # on other lines of another file, and with other docstrings of the module
    assert hashed(run_source(one)) == hashed(run_source(f"\n\n{one}"))


PAIRS = {
    "lambda": (lambda x: x + 1, lambda x: x + 2),
    "closure": (with_factor(1.0), with_factor(2.0)),
    "closure of arrays": (with_factor(np.zeros(2)), with_factor(np.ones(2))),
    "closure of functions": (with_factor(with_factor(1)), with_factor(with_factor(2))),
    "default": (with_default(1), with_default(2)),
    "arguments": (partial(max, 1), partial(max, 2)),
    "keywords": (partial(max, key=abs), partial(max, key=min)),
    "of partial": (partial(max, 1), partial(min, 1)),
    "partial of lambda": (partial(lambda x: x, 1), partial(lambda x: -x, 1)),
    "bound method": (Box(abs).take, Box(min).take),
    "bound method of C": ([1].append, [2].append),
    "instance": (Box(abs), Box(min)),
    "instance with lambda": (Box(lambda x: x), Box(lambda x: -x)),
    "instance of C": (operator.attrgetter("a"), operator.attrgetter("b")),
    "module": (torch.nn.HuberLoss(delta=1.0), torch.nn.HuberLoss(delta=2.0)),
    "weights": (torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.ones(2))),
    "bfloat16": tuple(torch.tensor([x], dtype=torch.bfloat16) for x in (1, 2)),
    "builtin": (math.sin, math.cos),
    "of NumPy": (np.sin, np.cos),
    "of torch": (torch.abs, torch.neg),
    "of torch in Python": (
        torch.nn.functional.l1_loss,
        torch.nn.functional.mse_loss,
    ),
    "installed class": (torch.nn.L1Loss, torch.nn.MSELoss),
    "local class": (make_class(1), make_class(2)),
    "local class, other name": (make_class(1), make_class(1, "scaled")),
    "cached": (cache(with_factor(1)), cache(with_factor(2))),
    "compiled": (torch.compile(with_factor(1)), torch.compile(with_factor(2))),
    "within a list": ([with_factor(1)], [with_factor(2)]),
    "within a dict": ({"a": with_factor(1)}, {"a": with_factor(2)}),
    "as a key": ({with_factor(1): 1}, {with_factor(2): 1}),
    "within a set": ({with_factor(1)}, {with_factor(2)}),
    "within an array": tuple(
        np.array([with_factor(x), None], dtype=object) for x in (1, 2)
    ),
}


@pytest.mark.parametrize("which", PAIRS)
def test_description__of_another_value__is_another(which):
    one, other = PAIRS[which]
    assert hashed(one) != hashed(other)


def test_description__of_equal_values__is_the_same():
    assert hashed(with_factor(2.0)) == hashed(with_factor(2.0))
    assert hashed(with_default(2)) == hashed(with_default(2))
    assert hashed(partial(max, 1, key=abs)) == hashed(partial(max, 1, key=abs))
    assert hashed(Box(with_factor(1)).take) == hashed(Box(with_factor(1)).take)
    assert hashed(make_class(1)) == hashed(make_class(1))


def test_description__of_what_contains_itself__ends():
    def descend(n):
        return descend(n - 1) if n else endless

    endless = [descend]
    endless.append(endless)
    box = Box(None)
    box.content = box.take
    assert hashed(descend) == hashed(descend)
    assert hashed(endless) != hashed(box)


def test_description__of_a_variable_not_yet_assigned__is_one():
    def outer():
        def inner():
            return later

        found = hashed(inner)
        later = 1
        return found, hashed(inner)

    before, after = outer()
    assert before != after


def test_description__after_many_calls__stays():
    function = with_factor(2)
    before = hashed(function)
    for number in range(5000):
        function(number)
    assert hashed(function) == before


def test_description__of_what_cannot_be_copied__is_its_class():
    with Path(__file__).open() as file:
        assert hashed(lambda: file) == hashed(lambda: file)


SCRIPT = """
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback, EpochScoring, LRScheduler

NAMES = frozenset({"alpha", "beta", "gamma", "delta", "epsilon"})
SCALE = 2.5

class Kind(Enum):
    ONE = "one"

@dataclass
class Settings:
    delta: float = 1.0
    names: set = field(default_factory=lambda: set(NAMES))

class Loss(torch.nn.Module):
    kinds = ("a", "b")

    def __init__(self, settings=None):
        super().__init__()
        self.settings = settings

    @property
    def power(self):
        return helper(2)

    @classmethod
    def make(cls):
        return cls(Settings())

    def forward(self, x, y):
        def inner(z):
            return z in {"alpha", "beta", 3, 4.5, None} or z in NAMES
        return (x - y).abs().pow(self.power).mean() * SCALE * inner(x)

class Watch(Callback):
    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, net, **kwargs):
        try:
            self.function(net)
        except ValueError:
            raise

def helper(x, *, kind=Kind.ONE):
    return x if kind is Kind.ONE else helper(x)

def scaled(factor, seen):
    return lambda x: helper(x) * factor if x in seen else Settings()

VALUES = [
    Loss, Loss(Settings()), Loss.make, Settings, Settings(), helper, Kind.ONE,
    scaled(2, {"x", "y", "z", helper, Kind.ONE}), partial(scaled, 2, seen=NAMES),
    Watch(lambda net: net.history), Watch(scaled(1, NAMES)), np.sin, torch.abs,
    LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 0.9**epoch),
    EpochScoring(lambda net, X, y: 0.0), {"a": helper, 1: Loss, Path: Path("/x")},
    torch.compile(scaled(3, NAMES)), torch.nn.HuberLoss(), torch.optim.SGD,
    np.random.RandomState(3), ..., complex(1, 2), torch.float32,
]
"""


def load_script(path):
    spec = importlib.util.spec_from_file_location("a_script", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules["a_script"] = script
    spec.loader.exec_module(script)
    return script.VALUES


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "one.py"
    path.write_text(SCRIPT)
    yield path
    sys.modules.pop("a_script", None)


def test_description__in_other_processes__is_the_same(script, tmp_path):
    expected = [hashed(value) for value in load_script(script)]
    assert len(set(expected)) == len(expected)
    other = tmp_path / "other.py"
    other.write_text(f"# moved\n\n\n{SCRIPT}")
    code = (
        "import json, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_plain import hashed, load_script\n"
        f"print(json.dumps([hashed(v) for v in load_script({str(other)!r})]))\n"
    )
    root = str(Path(skmatgnn.__file__).parents[1])
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == expected


def test_description__of_what_was_sent_to_a_worker__is_the_same(script):
    values = [v for v in load_script(script) if not hasattr(v, "__wrapped__")]
    sys.modules.pop("a_script")  # so that code is sent along, as that of a notebook
    expected = [hashed(value) for value in values]
    found = Parallel(n_jobs=2)(delayed(hashed)(value) for value in values)
    assert found == expected


def test_description__ufunc_that_another_package_has_documented__is_the_same():
    ufunc = np.frompyfunc(math.sin, 1, 1)
    before = hashed(ufunc), hashed(np.sin)
    if hasattr(ufunc, "__dict__"):  # as dask.array does with all of NumPy's
        ufunc.__signature__ = "(x)"
    assert (hashed(ufunc), hashed(np.sin)) == before
    assert len({*before, hashed(np.cos)}) == 3


def test_description__ufuncs_of_functions__tell_these_apart():
    one, other, again = (
        hashed(np.frompyfunc(f, 1, 1))
        for f in (lambda x: x + 1, lambda x: 2 * x, lambda x: x + 1)
    )
    assert one == again != other
