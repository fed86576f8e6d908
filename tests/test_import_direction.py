"""One direction of knowledge: nn knows torch only, and nothing imports back."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skmatgnn

ROOT = Path(skmatgnn.__file__).parent

# what each sub-package may import of the package, besides itself
BASE = {"errors", "utils", "_typing"}
ON_MATERIALS = BASE | {"preprocessing"}
LEARNING = ON_MATERIALS | {
    *("featurizers", "graphs", "metrics", "estimators", "__version__"),
}
ALLOWED = {
    "utils": {"errors", "_typing"},
    "clusters": BASE,
    "pretrained": {"errors"},
    "preprocessing": BASE,
    "datasets": ON_MATERIALS,
    "nn": {"utils._compiled", "utils._dgl"},
    "graphs": ON_MATERIALS | {"nn.ops"},
    "nets": BASE | {"graphs", "nn"},
    "featurizers": ON_MATERIALS,
    "metrics": ON_MATERIALS,
    "feature_selection": BASE,
    "testing": ON_MATERIALS,
    "estimators": ON_MATERIALS
    | {"featurizers", "graphs", "nn", "nets", "metrics", "feature_selection"}
    | {"pretrained", "__version__"},
    "model_selection": LEARNING,
    "inspection": LEARNING | {"model_selection"},
    "cli": LEARNING | {"datasets", "inspection", "model_selection", "nets"},
}
WITH_TORCH = (  # of the graphs
    "_batch.py",
    "_device.py",
    "_dgl.py",
    "_neighbors.py",
    "_pairs.py",
    "_streamed.py",
    "_transformer.py",
    "_upload.py",
)
FORBIDDEN = {
    "nets": {"pymatgen", "pandas"},
    "datasets": {"torch", "skorch"},
    "graphs": {"skorch"},
    "preprocessing": {"torch", "skorch"},
    "utils": {"torch", "skorch"},
    "metrics": {"torch", "skorch"},
    "featurizers": {"torch", "skorch"},
    "feature_selection": {"torch", "skorch"},
}


def imported_names(path):
    """Dotted names that a file imports, function bodies and annotations included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(package):
    module = ROOT / f"{package}.py"
    files = sorted((ROOT / package).rglob("*.py")) or [module] * module.is_file()
    assert files, f"the sub-package {package} has moved"
    return files


def test_directions__sub_packages__are_all_held_to_one():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_sub_package__imports_of_ours__go_one_way(package):
    for path in files_of(package):
        for name in imported_names(path):
            if name.split(".")[0] != "skmatgnn":
                continue
            inner = name.removeprefix("skmatgnn.") + "."
            assert any(
                inner.startswith(f"{allowed}.")
                for allowed in {package, *ALLOWED[package]}
            ), f"{path.relative_to(ROOT)} must not import {name}"


def test_networks__imports_of_others__are_torch_only():
    # Triton comes with torch where there is CUDA
    allowed = {"skmatgnn", "torch", "triton", *sys.stdlib_module_names}
    # optional, and imported only where they are installed
    numba = {"numba", "numpy"}
    for path in files_of("nn"):
        more = numba if "numba" in path.name else set()
        for name in imported_names(path):
            top = name.split(".")[0]
            assert top in allowed | more, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_sub_package__frameworks__stay_where_they_belong(package):
    for path in files_of(package):
        tops = {name.split(".")[0] for name in imported_names(path)}
        if package == "graphs" and path.name not in WITH_TORCH:
            assert "torch" not in tops, path
        assert not tops & FORBIDDEN[package], path


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import skmatgnn; skmatgnn.__version__; dir(skmatgnn)",
            "torch pymatgen skorch sklearn pandas",
        ),
        ("import skmatgnn.nn", "pymatgen sklearn skorch pandas matminer"),
        ("import skmatgnn.errors", "torch pymatgen sklearn numpy"),
    ],
)
def test_import__of_a_part__does_not_load_the_rest(statement, absent):
    code = (
        f"import sys; {statement}; print(*set({absent.split()!r}) & set(sys.modules))"
    )
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    assert result.stdout.split() == []
