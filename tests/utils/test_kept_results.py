"""Results on disk: complete or absent, found by what they follow from."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skmatgnn.utils.digest import digest
from skmatgnn.utils.kept_results import KeptResults


@dataclass
class Pair:
    a: np.ndarray
    b: object


def test_kept__results__come_back_and_are_counted(tmp_path):
    kept = KeptResults(tmp_path / "a" / "fits")
    assert len(kept) == 0
    assert kept.get("x", "y") is None
    kept.put("a1", y=np.arange(3), text=["é", "b"])
    kept.put("a1", y=np.arange(4), text=[])
    assert len(kept) == 1
    np.testing.assert_array_equal(kept.get("a1", "y")[0], np.arange(4))
    assert [file.name for file in kept.folder.iterdir()] == ["a1.npz"]
    kept.clear()
    assert not kept.folder.exists()
    kept.clear()


def test_kept__clear__leaves_files_of_others(tmp_path):
    kept = KeptResults(tmp_path / "fits")
    kept.put("a1", y=np.arange(3))
    mine = kept.folder / "results.npz"
    mine.write_bytes(b"mine")
    (kept.folder / ".a1.0f.tmp").write_bytes(b"of a killed run")
    kept.clear()
    assert list(kept.folder.iterdir()) == [mine]


def test_kept__damaged_or_foreign_files__are_as_good_as_none(tmp_path):
    kept = KeptResults(tmp_path)
    kept.put("x", y=np.arange(300))
    whole = (tmp_path / "x.npz").read_bytes()
    for content in (b"", whole[:-20], whole[:40], whole.replace(b"\x05\0", b"\x06\0")):
        (tmp_path / "x.npz").write_bytes(content)
        assert kept.get("x", "y") is None
    (tmp_path / "x.npz").write_bytes(whole)
    assert kept.get("x", "z") is None
    np.savez(tmp_path / "o.npz", y=np.array([{}], dtype=object))
    assert kept.get("o", "y") is None


def test_kept__put_that_fails__leaves_the_former_result(tmp_path, monkeypatch):
    kept = KeptResults(tmp_path)
    kept.put("x", y=1)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        kept.put("x", y=2)
    assert [file.name for file in tmp_path.iterdir()] == ["x.npz"]
    assert kept.get("x", "y")[0] == 1


def test_digest__equal_content__is_equal():
    a = Pair(np.arange(6.0), {"k": [1, None, "x"], "j": Ridge(2.0)})
    b = Pair(np.arange(12.0)[::2] / 2, {"j": Ridge(alpha=2.0), "k": (1, None, "x")})
    assert digest(a) == digest(b)
    assert digest(np.array(["a", 1], dtype=object)) == digest(["a", 1])
    assert len(digest()) == 40


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "None"),
        ([1, 2], [[1], 2]),
        (["ab", "c"], ["a", "bc"]),
        (np.arange(4), np.arange(4.0)),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        ({"a": 1}, {"b": 1}),
        (Ridge(1.0), Ridge(2.0)),
        (complex(1, 2), complex(1, 3)),
    ],
)
def test_digest__other_content__is_other(a, b):
    assert digest(a) != digest(b)


def test_digest__n_jobs_and_verbose__do_not_matter():
    from sklearn.ensemble import RandomForestRegressor

    quiet, loud = RandomForestRegressor(), RandomForestRegressor(n_jobs=2, verbose=1)
    assert digest(quiet) == digest(loud)
