"""The import of DGL: what it needs, what it leaves behind, what its errors say."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from skmatgnn.utils import _dgl
from skmatgnn.utils._dgl import import_dgl

ROOT = Path(_dgl.__file__).parents[2]
needs_dgl = pytest.mark.skipif(
    find_spec("dgl") is None, reason="needs the extra skmatgnn[dgl]"
)


def run(code, tmp_path, **environment):
    """Run code in a new interpreter, in a home that must stay empty."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DGL")}
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=clean | {"HOME": str(tmp_path), "PYTHONPATH": path, **environment},
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@needs_dgl
def test_import_dgl__new_process__works_and_leaves_nothing_behind(tmp_path):
    code = """
import os, sys
import sklearn, torch  # which set variables of their own
from skmatgnn.utils._dgl import import_dgl
before = dict(os.environ)
dgl = import_dgl(purpose="A test")
assert import_dgl(purpose="A test") is dgl is sys.modules["dgl"]
assert dict(os.environ) == before
roots = {"setuptools", "pkg_resources", "torchdata"}
names = {m.split(".")[0] for m in sys.modules}
print(dgl.backend.backend_name, *sorted(roots & names))
print(*[m for m in sys.modules if "graphbolt" in m])
"""
    assert run(code, tmp_path) == ["pytorch"]
    assert list(tmp_path.iterdir()) == []


@needs_dgl
def test_import_dgl__what_was_left_out__says_why_when_used(tmp_path):
    code = """
from skmatgnn.utils._dgl import import_dgl
import_dgl(purpose="A test")
from dgl.distributed import partition
try:
    partition.gb.FusedCSCSamplingGraph
except AttributeError as error:
    print("import dgl before skmatgnn" in str(error))
"""
    assert run(code, tmp_path) == ["True"]


@needs_dgl
def test_import_dgl__imported_already__is_taken_as_it_is(tmp_path):
    code = """
import sys, types
from skmatgnn.utils._dgl import import_dgl
mine = sys.modules["dgl"] = types.ModuleType("dgl")
print(import_dgl(purpose="A test") is mine)
"""
    assert run(code, tmp_path) == ["True"]


@pytest.mark.parametrize("chosen", ["tensorflow", ""])
def test_import_dgl__backend_of_the_user__is_put_back(monkeypatch, chosen):
    monkeypatch.setenv("DGLBACKEND", chosen)
    with _dgl._without_graphbolt():
        assert os.environ["DGLBACKEND"] == "pytorch"
    assert os.environ["DGLBACKEND"] == chosen


def test_import_dgl__not_installed__names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dgl", None)
    monkeypatch.delitem(sys.modules, "dgl")
    monkeypatch.setattr(_dgl, "find_spec", lambda name: None)
    monkeypatch.setattr(
        "skmatgnn.utils._optional.import_module",
        lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)),
    )
    message = r"A test needs .*'dgl'.*skmatgnn\[dgl\]"
    for first_without, named in (((3, 99), "not installed"), ((3, 9), "3.11 or 3.12")):
        monkeypatch.setattr(_dgl, "NO_BUILD", first_without)
        with pytest.raises(ImportError, match=message) as caught:
            import_dgl(purpose="A test")
        assert named in str(caught.value)


@pytest.mark.parametrize(
    "statement", ["import no_such_module_of_it", "raise OSError('libdgl.so')"]
)
def test_import_dgl__broken_installation__says_what_failed(statement, tmp_path):
    package = tmp_path / "site" / "dgl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(statement)
    code = """
import os, sys
from skmatgnn.utils._dgl import import_dgl
try:
    import_dgl(purpose="A test")
except ImportError as error:
    text = str(error)
    print("cannot be imported" in text, "no_such" in text or "libdgl" in text)
print("dgl.graphbolt" in sys.modules, "DGLBACKEND" in os.environ)
"""
    path = os.pathsep.join([str(package.parent), str(ROOT)])
    expected = ["True", "True", "False", "False"]
    assert run(code, tmp_path, PYTHONPATH=path) == expected


def test_package__source__imports_dgl_in_one_place_only():
    for path in sorted((ROOT / "skmatgnn").rglob("*.py")):
        if path.name == "_dgl.py" and path.parent.name == "utils":
            continue
        text = path.read_text()
        assert "import dgl" not in text.replace("import_dgl", ""), path
        assert "from dgl" not in text, path
