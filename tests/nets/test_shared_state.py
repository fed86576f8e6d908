"""Settings of the whole process while threads train side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from skmatgnn.nets import _memory, _shared_state
from skmatgnn.nets._memory import retained_memory
from skmatgnn.nets._shared_state import (
    held_matmul_precision,
    kept_generator,
    limited_threads,
)

SOON, LONG = 0.2, 120.0


class Visitor:
    """A thread that enters a context, waits there, and leaves when it is told to."""

    def __init__(self, pool, context):
        self.inside, self.may_leave = threading.Event(), threading.Event()
        self.done = pool.submit(self._visit, context)

    def _visit(self, context):
        with context:
            self.inside.set()
            assert self.may_leave.wait(LONG)

    def enters(self, timeout=LONG):
        return self.inside.wait(timeout)

    def leaves(self):
        self.may_leave.set()
        self.done.result(LONG)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def precision():
    before = torch.get_float32_matmul_precision()
    yield torch.get_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


def in_new_thread(function):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result(LONG)


# --- matrix products


def test_matmul_precision__first_thread_leaves_first__second_keeps_it(pool, precision):
    torch.set_float32_matmul_precision("medium")
    visitors = [Visitor(pool, held_matmul_precision("high", "cuda")) for _ in range(2)]
    assert all(visitor.enters() for visitor in visitors)
    for visitor in visitors:
        assert precision() == "high"
        visitor.leaves()
    assert precision() == "medium"


def test_matmul_precision__another_one_on_the_same_kind__waits(pool, precision):
    first = Visitor(pool, held_matmul_precision("high", "cuda"))
    assert first.enters()
    second = Visitor(pool, held_matmul_precision("highest", "cuda"))
    assert not second.enters(SOON)
    assert precision() == "high"
    first.leaves()
    assert second.enters()
    assert precision() == "highest"
    second.leaves()


def test_matmul_precision__cpu_beside_cuda__neither_waits(pool, precision):
    torch.set_float32_matmul_precision("medium")
    cpu = Visitor(pool, held_matmul_precision("highest", "cpu"))
    assert cpu.enters()
    assert precision() == "highest"
    cuda = Visitor(pool, held_matmul_precision("high", "cuda"))
    assert cuda.enters()
    assert precision() == "high"
    cuda.leaves()
    assert precision() == "highest"
    cpu.leaves()
    assert precision() == "medium"


def test_matmul_precision__inner_context__replaces_the_outer_one_and_gives_it_back(
    precision,
):
    before = precision()
    with held_matmul_precision("high", "cuda"):
        with held_matmul_precision("highest", "cuda"):
            assert precision() == "highest"
        assert precision() == "high"
        inner = held_matmul_precision("highest", "cuda")
        with pytest.raises(RuntimeError, match="boom"), inner:
            raise RuntimeError("boom")
        assert precision() == "high"
    assert precision() == before


def test_matmul_precision__two_threads_with_inner_contexts__do_not_lock_up(
    pool, precision
):
    """Each wants inside what the other one does not have outside."""
    both, seen = threading.Barrier(2, timeout=LONG), []

    def visit():
        with held_matmul_precision("high", "cuda"):
            both.wait()
            with held_matmul_precision("highest", "cuda"):
                seen.append(precision())
            seen.append(precision())

    for visit_of_one in [pool.submit(visit) for _ in range(2)]:
        visit_of_one.result(LONG)
    assert sorted(seen) == ["high", "high", "highest", "highest"]


# --- threads of an operation


def test_thread_limit__threads_leave_in_the_order_they_came__default_is_as_before(pool):
    own, default = torch.get_num_threads(), in_new_thread(torch.get_num_threads)
    first = Visitor(pool, limited_threads(default + 1))
    assert first.enters()
    second = Visitor(pool, limited_threads(default + 2))
    assert second.enters()
    assert torch.get_num_threads() == own
    assert in_new_thread(torch.get_num_threads) == default
    first.leaves()
    second.leaves()
    assert in_new_thread(torch.get_num_threads) == default


def test_thread_limit__thread_with_a_number_of_its_own__default_is_as_before():
    own, default = torch.get_num_threads(), in_new_thread(torch.get_num_threads)
    try:
        with ThreadPoolExecutor(1) as one:
            one.submit(torch.get_num_threads).result(LONG)  # or the next does not last
            one.submit(torch.set_num_threads, default + 1).result(LONG)
            torch.set_num_threads(default)
            visitor = Visitor(one, limited_threads(default + 2))
            assert visitor.enters()
            meanwhile = in_new_thread(torch.get_num_threads)
            visitor.leaves()
            assert meanwhile == default
            assert one.submit(torch.get_num_threads).result(LONG) == default + 1
            assert in_new_thread(torch.get_num_threads) == default
    finally:
        torch.set_num_threads(own)


def test_thread_limit__none__leaves_the_number(pool):
    before = torch.get_num_threads()
    with limited_threads(None):
        assert torch.get_num_threads() == before
    with limited_threads(before + 1), limited_threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


# --- memory and random numbers


@pytest.mark.parametrize("when", ["entering", "leaving"])
def test_thread_limit__ctrl_c_while_it_is_set__number_is_as_before(when, monkeypatch):
    before, asked = torch.get_num_threads(), []
    ask = _shared_state._threads_of_a_new_thread

    def interrupted():
        asked.append(ask())
        if len(asked) == ["entering", "leaving"].index(when) + 1:
            raise KeyboardInterrupt
        return asked[-1]

    monkeypatch.setattr(_shared_state, "_threads_of_a_new_thread", interrupted)
    with pytest.raises(KeyboardInterrupt), limited_threads(before + 1):
        assert when == "leaving"
    assert torch.get_num_threads() == before


def test_retained_memory__several_threads__is_given_back_by_the_last(pool, monkeypatch):
    calls = []

    class Libc:
        def mallopt(self, *arguments):
            calls.append(arguments)

        def malloc_trim(self, _):
            calls.append("trim")

    monkeypatch.setattr(_memory, "_glibc", Libc)
    first = Visitor(pool, retained_memory())
    assert first.enters()
    second = Visitor(pool, retained_memory())
    assert second.enters()
    assert calls == [(-4, 0), (-1, 2**31 - 1)]
    first.leaves()
    assert len(calls) == 2
    second.leaves()
    assert len(calls) == 6
    assert calls[-1] == "trim"


def test_kept_generator__second_thread__waits_and_both_leave_no_trace(pool):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = Visitor(pool, kept_generator())
    assert first.enters()
    torch.rand(3)
    second = Visitor(pool, kept_generator())
    assert not second.enters(SOON)
    first.leaves()
    assert second.enters()
    torch.rand(3)
    second.leaves()
    assert torch.equal(torch.get_rng_state(), state)
