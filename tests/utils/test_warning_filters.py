"""Filters of warnings that threads share."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from skmatgnn.utils.warning_filters import recorded_warnings, without_warnings


class OwnWarning(UserWarning):
    pass


@pytest.fixture(autouse=True)
def _errors():
    """Let nothing pass, whatever pytest is told about warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def warn(text="hidden", category=OwnWarning):
    warnings.warn(text, category, stacklevel=2)


def test_hidden__category_and_pattern__others_are_still_raised():
    with without_warnings(OwnWarning, "hid"):
        warn()
        with pytest.raises(OwnWarning, match="shown"):
            warn("shown")
        with pytest.raises(UserWarning, match="hidden"):
            warn(category=UserWarning)
    with pytest.raises(OwnWarning, match="hidden"):
        warn()


def test_hidden__block_that_raises__filters_are_as_before():
    before = list(warnings.filters), warnings.showwarning
    with pytest.raises(KeyError), without_warnings():
        raise KeyError
    assert (warnings.filters, warnings.showwarning) == before


def test_hidden__threads_that_overlap__leave_the_filters_as_they_were():
    before = list(warnings.filters), warnings.showwarning
    n_threads = 6
    together = Barrier(n_threads)

    def work(number):
        # one begins first and ends last in every round, each time another one
        for turn in range(40):
            together.wait(timeout=60)
            with without_warnings(OwnWarning):
                for _ in range((number + turn) % n_threads):
                    warn()

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads)))
    assert (warnings.filters, warnings.showwarning) == before
    with pytest.raises(OwnWarning):
        warn()


def test_recorded__each_thread__gets_its_own_warnings_all_of_them():
    n_threads = 4
    together = Barrier(n_threads)

    def work(number):
        together.wait(timeout=60)
        with recorded_warnings() as found:
            for turn in range(50):
                warn(f"{number}-{turn}")  # one line, hence shown once by default
        return [str(warning.message) for warning in found]

    with ThreadPoolExecutor(n_threads) as pool:
        texts = list(pool.map(work, range(n_threads)))
    assert texts == [[f"{n}-{turn}" for turn in range(50)] for n in range(n_threads)]


def test_recorded__within_another__goes_to_the_inner_one():
    with recorded_warnings() as outer:
        warn("first")
        with recorded_warnings() as inner:
            warn("second")
        warn("third")
    assert [str(found.message) for found in outer] == ["first", "third"]
    assert [str(found.message) for found in inner] == ["second"]
    assert inner[0].category is OwnWarning
    assert inner[0].filename == __file__
