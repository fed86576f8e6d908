"""Every public name has its page, and the code of the pages runs."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

import skmatgnn

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CLUSTERS = "scale_out.md"  # wants GPUs and workers; tests of its own run what it shows
SITE = os.environ.get("SKMATGNN_SITE")
WRITTEN = sorted(
    path
    for folder in (DOCS, DOCS / "guide", DOCS / "migrate")
    for path in folder.glob("*.md")
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
built = pytest.mark.skipif(
    SITE is None, reason="SKMATGNN_SITE names no site that sphinx-build has made"
)


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("_reference")
    finally:
        sys.path.remove(str(DOCS))


def public_names():
    """Names that users may import, found without the help of the pages."""
    modules = {"skmatgnn": skmatgnn}
    for info in pkgutil.iter_modules(skmatgnn.__path__):
        module = importlib.import_module(f"skmatgnn.{info.name}")
        if not info.name.startswith("_") and hasattr(module, "__all__"):
            modules[module.__name__] = module
    assert len(modules) > 15
    for path, module in modules.items():
        for name in module.__all__:
            if not isinstance(getattr(module, name), ModuleType | str):
                yield path, name, getattr(module, name)


def listed(page):
    """Entries of the tables and lists of a page."""
    return {line.strip().lstrip("~").rpartition(".")[2] for line in page.splitlines()}


def test_reference__every_public_name__is_in_the_table_of_its_module(reference):
    pages = reference.reference_pages()
    missing = [
        f"{module}.{name}"
        for module, name, _ in public_names()
        if name not in listed(pages[f"{module}.rst"])
    ]
    assert missing == []
    assert {f"   {module}" for module, _, _ in public_names()} <= set(
        pages["index.rst"].splitlines()
    )


def test_reference__every_public_name__has_one_page_that_imports_it(reference):
    pages = reference.reference_pages()
    documented = [path[10:-4] for path in pages if path.startswith("generated/")]
    values = {}
    for home in documented:
        module, _, name = home.rpartition(".")
        values[home] = getattr(importlib.import_module(module), name)
        assert (
            f"auto{'class' if isinstance(values[home], type) else ''}"
            in (pages[f"generated/{home}.rst"])
        )
    for module, name, value in public_names():
        homes = [home for home in values if values[home] is value]
        assert homes, f"{module}.{name}"
        assert [home for home in homes if home.endswith(f".{name}")]


def test_reference__methods__are_those_of_the_class_and_not_of_torch(reference):
    pages = reference.reference_pages()
    alignn = pages["generated/skmatgnn.ALIGNNRegressor.rst"]
    for method in ("fit", "predict", "partial_fit", "save", "load", "embed"):
        assert f".. automethod:: {method}\n" in alignn
    assert "requires_grad_" not in pages["generated/skmatgnn.nn.ALIGNN.rst"]
    assert "set_fit_request" not in alignn


def test_reference__written_twice__touches_nothing_and_removes_old_pages(
    reference, tmp_path
):
    reference.write_reference(tmp_path)
    page = tmp_path / "generated" / "skmatgnn.CGCNNRegressor.rst"
    before = page.stat().st_mtime_ns
    old = tmp_path / "generated" / "skmatgnn.Gone.rst"
    old.write_text("gone")
    reference.write_reference(tmp_path)
    assert page.stat().st_mtime_ns == before
    assert not old.exists()


@built
def test_site__every_public_name__can_be_linked_to():
    data = (Path(SITE) / "objects.inv").read_bytes()
    lines = zlib.decompress(data.split(b"\n", 4)[4]).decode().splitlines()
    known = {line.split(" ", 1)[0] for line in lines}
    short = {name.rpartition(".")[2] for name in known if name.startswith("skmatgnn")}
    assert [name for _, name, _ in public_names() if name not in short] == []


@built
@pytest.mark.parametrize("page", ["index", "guide/transfer", "gallery/index"])
def test_site__page__is_there_and_loads_nothing_but_mathjax_from_elsewhere(page):
    text = (Path(SITE) / f"{page}.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|<link[^>]*href)="(https?://[^"]+)"', text)
    assert [address for address in loaded if "mathjax" not in address] == []


def code_of(path):
    return "\n".join(BLOCK.findall(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "path",
    [path for path in WRITTEN if code_of(path) and path.name != CLUSTERS],
    ids=lambda path: str(path.relative_to(DOCS)),
)
@pytest.mark.filterwarnings("default::UserWarning")
def test_page__python_of_it__runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code_of(path), str(path), "exec"), {"__name__": "page"})  # noqa: S102


@pytest.mark.parametrize("path", [ROOT / "README.md", *WRITTEN], ids=str)
def test_page__files_that_it_links_to__exist(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if target.startswith(("http", "api/", "gallery/")):
            continue
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [ROOT / "README.md", *WRITTEN], ids=str)
def test_page__scripts_that_it_names__exist(path):
    text = path.read_text(encoding="utf-8")
    for script in re.findall(r"(?:python |`)(benchmarks/\w+\.py)", text):
        assert (ROOT / script).is_file(), script


SOURCES = ("benchmarks/README.md", "docs/electrode_study.md", "docs/transfer_study.md")
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)")


def decimals(text):
    return {(float(found), len(found.split(".")[1])) for found in NUMBER.findall(text)}


@pytest.mark.parametrize(
    "page", ["comparison.md", "guide/models.md", "guide/transfer.md"]
)
def test_page__figures_in_its_tables__are_those_of_the_measurements(page):
    measured = set().union(
        *(decimals((ROOT / source).read_text(encoding="utf-8")) for source in SOURCES)
    )
    tables = [
        re.sub(r"`[^`]*`|(?:alignn|crabnet|modnet|elmd) [\d.]+", "", line)
        for line in (DOCS / page).read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    shown = decimals("\n".join(tables))
    assert len(shown) >= 10
    unknown = [
        value
        for value, digits in shown
        if not any(
            more >= digits and abs(value - true) <= 0.51 * 10**-digits
            for true, more in measured
        )
    ]
    assert unknown == []
