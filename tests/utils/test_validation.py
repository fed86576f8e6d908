"""Checks of single parameters."""

from __future__ import annotations

import re

import numpy as np
import pytest

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.validation import (
    is_count,
    require_count,
    require_fraction,
    require_option,
)


@pytest.mark.parametrize("value", ["mae", None, 3, np.int64(3), True])
def test_option__among_those_allowed__is_accepted(value):
    require_option("metric", value, ("mae", None, 3, True))


@pytest.mark.parametrize("value", ["MAE", None, 3, ["mae"], np.array(["mae", "r2"])])
def test_option__anything_else__is_refused_with_what_there_is(value):
    text = re.escape(f"metric must be one of ['mae', 'r2']; got {value!r}.")
    with pytest.raises(InvalidValueError, match=text):
        require_option("metric", value, {"mae": 1, "r2": 2})


@pytest.mark.parametrize(
    ("value", "least", "counts"),
    [
        (1, 1, True),
        (np.int32(2), 2, True),
        (0, 0, True),
        (0, 1, False),
        (1, 2, False),
        (2.0, 1, False),
        (True, 1, False),
        ("1", 1, False),
        (None, 1, False),
    ],
)
def test_count__whole_numbers_of_the_size__are_counts(value, least, counts):
    assert is_count(value, least) == counts
    if counts:
        require_count("trials", value, least)
        return
    text = re.escape(f"trials must be an integer of {least} or more; got {value!r}.")
    with pytest.raises(InvalidValueError, match=text):
        require_count("trials", value, least)


@pytest.mark.parametrize("value", [0.5, np.float32(0.95), 1e-300])
def test_fraction__between_the_ends__is_accepted(value):
    require_fraction("test_size", value)


@pytest.mark.parametrize("value", [0, 1, 95, -0.5, float("nan"), "0.5", None, [0.5]])
def test_fraction__ends_and_beyond__are_refused(value):
    text = re.escape(f"test_size must be between 0 and 1; got {value!r}.")
    with pytest.raises(InvalidValueError, match=text):
        require_fraction("test_size", value)
