"""Files that appear whole or not at all."""

import errno
import os

import pytest

from skmatgnn.utils.whole_file import write_whole


def test_write__new_and_old_file__has_the_content_and_nothing_beside(tmp_path):
    path = tmp_path / "file.txt"
    for content in (b"one", b"another"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_write__disk_full__leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_whole(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
