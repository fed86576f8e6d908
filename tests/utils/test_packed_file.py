"""Named arrays in one file."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.packed_file import read_arrays, read_metadata, write_arrays

ARRAYS = {
    "a": np.arange(7, dtype=np.int64),
    "b": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    "c": np.array([True, False, True]),
    "d": np.arange(5, dtype=np.uint8),
    "e": np.arange(4, dtype=np.int32)[::2],
    "f": np.ones((3, 3), dtype=np.float64).T,
    "none": np.zeros((0, 3), dtype=np.float32),
}


@pytest.fixture
def path(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS, {"note": "äé"})
    return tmp_path / "x"


@pytest.mark.parametrize("memory_map", [True, False])
def test_round_trip__all_types__same_arrays_and_metadata(path, memory_map):
    arrays, metadata = read_arrays(path, memory_map=memory_map)
    assert metadata == {"note": "äé"}
    assert set(arrays) == set(ARRAYS)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], expected)
        assert arrays[name].dtype == expected.dtype
        assert arrays[name].shape == expected.shape
        assert arrays[name].flags.writeable is not memory_map or not expected.size


def test_file__written__is_valid_safetensors(path):
    loaded = load_file(path)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], expected)


def test_memory_map__file_replaced_while_open__keeps_the_old_content(path):
    arrays, _ = read_arrays(path, memory_map=True)
    write_arrays(path, {"a": np.zeros(7, dtype=np.int64)}, {})
    assert arrays["a"].tolist() == list(range(7))
    assert read_arrays(path, memory_map=True)[0]["a"].tolist() == [0] * 7


def test_write__into_a_missing_folder__raises_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="x could not be written"):
        write_arrays(tmp_path / "nowhere" / "x", ARRAYS, {})


def test_write__failing__removes_its_temporary_file(tmp_path):
    with pytest.raises(Exception, match=r"(?i)dtype|object"):
        write_arrays(tmp_path / "x", {"a": np.array([object()])}, {})
    assert list(tmp_path.iterdir()) == []


def test_read__every_truncation__raises_our_error(path):
    data = path.read_bytes()
    for length in [*range(0, len(data), 7), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(InvalidValueError, match="x is damaged or not in"):
            read_arrays(path, memory_map=True)


def test_read__random_bytes_in_the_header__raise_our_error_or_change_nothing(path):
    data = path.read_bytes()
    start = int.from_bytes(data[:8], "little") + 8
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(0, start)] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            arrays, _ = read_arrays(path, memory_map=False)
        except InvalidValueError:
            continue
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_write__file__has_the_mode_of_any_other(tmp_path):
    other = tmp_path / "other"
    other.touch()
    write_arrays(tmp_path / "x", {"a": np.zeros(2)}, {})
    assert (tmp_path / "x").stat().st_mode == other.stat().st_mode


def test_metadata__is_read_without_the_arrays(tmp_path):
    write_arrays(tmp_path / "x", {"a": np.zeros(2)}, {"format": "mine"})
    assert read_metadata(tmp_path / "x") == {"format": "mine"}
    with pytest.raises(InvalidValueError, match="not in the safetensors format"):
        read_metadata(__file__)
