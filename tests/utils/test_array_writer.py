"""Files of arrays that grow piece by piece."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from skmatgnn.utils.array_writer import ArrayWriter
from skmatgnn.utils.packed_file import read_arrays, release_pages, write_arrays

PIECES = {
    "bytes": [np.arange(3, dtype=np.uint8), np.arange(4, dtype=np.uint8)],
    "vectors": [
        np.ones((2, 3), dtype=np.float32),
        np.zeros((0, 3), dtype=np.float32),
        np.arange(12, dtype=np.float32).reshape(3, 4).T[:, ::-1],
    ],
    "pointers": [np.zeros(1, dtype=np.int64), np.arange(5, dtype=np.int64)],
    "flags": [np.array([True, False, True])],
    "empty": [np.zeros(0, dtype=np.int32)],
}


def write(path, pieces=PIECES):
    with ArrayWriter(path) as writer:
        for name, parts in pieces.items():
            for part in parts:
                writer.append(name, part)
        writer.commit({"note": "é"})


def test_writer__pieces__make_the_file_of_the_joined_arrays(tmp_path):
    write(tmp_path / "x")
    arrays, metadata = read_arrays(tmp_path / "x", memory_map=True)
    assert metadata == {"note": "é"}
    official = load_file(tmp_path / "x")
    assert set(arrays) == set(official) == set(PIECES)
    for name, parts in PIECES.items():
        expected = np.concatenate(parts)
        for found in (arrays[name], official[name]):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
        assert arrays[name].flags.aligned
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_writer__unfinished__leaves_the_old_file_and_nothing_else(tmp_path):
    write_arrays(tmp_path / "x", {"old": np.arange(3)}, {})
    before = (tmp_path / "x").read_bytes()
    with ArrayWriter(tmp_path / "x") as writer:
        writer.append("a", np.arange(5))
    assert (tmp_path / "x").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    "other", [np.arange(3, dtype=np.int32), np.zeros((3, 1), dtype=np.int64)]
)
def test_writer__another_type_or_shape__raises(tmp_path, other):
    with ArrayWriter(tmp_path / "x") as writer:
        writer.append("a", np.arange(5))
        with pytest.raises(ValueError, match="a has rows of int64"):
            writer.append("a", other)


def test_writer__no_such_folder__raises_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write(tmp_path / "nowhere" / "x")


def file_pages():
    """Bytes of files that count as memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(x.split()[1]) for x in lines if x.startswith("RssFile"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_release_pages__array_that_was_read__leaves_memory_but_not_the_array(tmp_path):
    size = 32 * 2**20
    write_arrays(tmp_path / "x", {"a": np.arange(size // 8), "b": np.arange(3)}, {})
    arrays, _ = read_arrays(tmp_path / "x", memory_map=True)
    total = arrays["a"].sum()
    read = file_pages()
    release_pages(arrays["b"][1:])
    assert file_pages() < read - 0.9 * size
    assert arrays["a"].sum() == total


def test_release_pages__array_in_memory__does_nothing():
    array = np.arange(5)
    release_pages(array[1:])
    release_pages(np.empty(0))
    assert array.tolist() == [0, 1, 2, 3, 4]
