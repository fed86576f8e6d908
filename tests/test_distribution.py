"""What the wheel and the source distribution hold."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path, PurePosixPath

import pytest

import skmatgnn
from skmatgnn.pretrained import list_pretrained

pytest.importorskip("setuptools", minversion="77", reason="builds the distributions")

ROOT = Path(skmatgnn.__file__).parents[1]
VERSION = skmatgnn.__version__
INFO = f"skmatgnn-{VERSION}.dist-info"
LARGEST = 5 * 2**20
LEFT_OVER = (".git", ".venv*", "*cache*", "*.egg-info", "build", "dist", "shared")
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # setuptools writes its own arguments there
print(build_meta.build_wheel(folder), build_meta.build_sdist(folder))
"""
INSTALLED = """
import json, sys
from importlib.metadata import entry_points, version
import skmatgnn
from skmatgnn.pretrained import list_pretrained, model_card, pretrained_path
[command] = entry_points(group="console_scripts", name="skmatgnn")
print(json.dumps({
    "file": skmatgnn.__file__,
    "version": version("skmatgnn"),
    "command": command.load().__name__,
    "pretrained": {name: [pretrained_path(name).stat().st_size, model_card(name)]
                   for name in list_pretrained()},
}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both archives, made of a copy of the project in which work has left files."""
    folder = tmp_path_factory.mktemp("distribution")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*LEFT_OVER))
    for name in ("scratch.npz", "nn/weights.pt", "pretrained/notes.txt"):
        (source / "skmatgnn" / name).write_bytes(b"left over")
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return [folder / name for name in done.stdout.split("\n")[-2].split()]


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[0]) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    return message_from_string(wheel.read(f"{INFO}/METADATA").decode())


def package_files():
    """Files that users need: code, marker of types, networks and cards, checksums."""
    package = ROOT / "skmatgnn"
    files = {*package.rglob("*.py"), package / "py.typed"}
    for pattern in ("*.safetensors", "*.md"):
        files |= set((package / "pretrained").glob(pattern))
    files |= set((package / "datasets").glob("*.json"))
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_wheel__files__are_those_of_the_package_and_no_others(wheel):
    found = {name for name in wheel.namelist() if not name.startswith(INFO)}
    assert found == package_files()
    assert wheel.testzip() is None


def test_wheel__records__licence_entry_point_and_nothing_else(wheel):
    found = {name for name in wheel.namelist() if name.startswith(INFO)}
    own = {"licenses/LICENSE", "METADATA", "WHEEL", "entry_points.txt", "RECORD"}
    assert found == {f"{INFO}/{name}" for name in {*own, "top_level.txt"}}
    licence = wheel.read(f"{INFO}/licenses/LICENSE").decode()
    assert licence == (ROOT / "LICENSE").read_text()
    assert wheel.read(f"{INFO}/top_level.txt").split() == [b"skmatgnn"]
    assert b"Tag: py3-none-any" in wheel.read(f"{INFO}/WHEEL")


def test_wheel__size__is_bounded(built, wheel):
    assert built[0].name == f"skmatgnn-{VERSION}-py3-none-any.whl"
    assert built[0].stat().st_size < LARGEST
    for info in wheel.infolist():
        if not info.filename.endswith(".safetensors"):
            assert info.file_size < 2**16, info.filename


def test_wheel__metadata__is_that_of_the_project(metadata):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert metadata["Name"] == "skmatgnn"
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == config["options"]["python_requires"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    extras = config["options.extras_require"]
    assert set(metadata.get_all("Provides-Extra")) == set(extras)
    needed = metadata.get_all("Requires-Dist")
    core = [line for line in needed if "extra ==" not in line]
    assert sorted(core) == sorted(config["options"]["install_requires"].split())
    listed = [line for text in extras.values() for line in text.strip().split("\n")]
    assert len(needed) - len(core) == len(listed)


def test_wheel__unpacked_elsewhere__runs_and_finds_its_networks(wheel, tmp_path):
    target = tmp_path / "site"
    wheel.extractall(target)  # noqa: S202 - our own archive
    code = f"import sys; sys.path.insert(0, {str(target)!r}){INSTALLED}"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert Path(found["file"]).is_relative_to(target)
    assert found["version"] == VERSION
    assert found["command"] == "main"
    assert sorted(found["pretrained"]) == list_pretrained()
    for size, card in found["pretrained"].values():
        assert size > 2**16
        assert card.startswith("# ")


def test_source_distribution__holds_all_that_builds_and_tests_need(built):
    with tarfile.open(built[1]) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
    names = {
        PurePosixPath(member.name).relative_to(f"skmatgnn-{VERSION}").as_posix()
        for member in members
    }
    assert package_files() <= names
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "setup.cfg", "pyproject.toml"}
    needed |= {"constraints.txt", "constraints-oldest.txt", ".ci/run"}
    for pattern in ("*.py", "data/**/*.safetensors"):
        tests = (ROOT / "tests").rglob(pattern)
        needed |= {path.relative_to(ROOT).as_posix() for path in tests}
    assert needed - names == set()
    assert not [name for name in names if name.endswith((".npz", ".pt", ".pyc"))]
    assert built[1].stat().st_size < LARGEST
