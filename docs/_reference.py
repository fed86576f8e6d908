"""The pages of the API reference, made from ``__all__`` of every public module."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import skmatgnn

# what scikit-learn adds to an estimator and describes itself
INHERITED = ("fit_transform", "get_params", "predict", "score", "set_params")
SKLEARN = "https://scikit-learn.org/stable/developers/develop.html"


def public_modules() -> list[str]:
    """Name the package and every module of it that says what is public."""
    found = ["skmatgnn"]
    for info in pkgutil.iter_modules(skmatgnn.__path__, "skmatgnn."):
        private = info.name.rpartition(".")[2].startswith("_")
        if not private and hasattr(importlib.import_module(info.name), "__all__"):
            found.append(info.name)
    return found


def public_objects() -> dict[str, list[tuple[str, str]]]:
    """Give the public names of each module, each with where it is documented.

    That is the first module that has the object: the package for an estimator, which is
    how one imports it.
    """
    homes: dict[int, str] = {}
    found: dict[str, list[tuple[str, str]]] = {}
    for module in public_modules():
        loaded = importlib.import_module(module)
        found[module] = []
        for name in loaded.__all__:
            value = getattr(loaded, name)
            if isinstance(value, ModuleType) or name == "__version__":
                continue
            # equal strings and numbers may be one object
            key = id(value) if callable(value) else id(value) ^ hash(name)
            home = homes.setdefault(key, f"{module}.{name}")
            found[module].append((name, home))
    return found


def methods_of(cls: type) -> tuple[list[str], list[str]]:
    """Name the methods and properties that are ours, and those of scikit-learn."""
    ours, inherited = [], []
    for name, value in inspect.getmembers(cls):
        if name.startswith("_") or inspect.isclass(value):
            continue
        function = value.fget if isinstance(value, property) else value
        owner = getattr(function, "__module__", None) or ""
        if owner.startswith("skmatgnn") and inspect.getdoc(value):
            ours.append(name)
        elif owner.startswith("sklearn") and name in INHERITED:
            inherited.append(name)
    return ours, inherited


def heading(title: str, mark: str = "=") -> list[str]:
    """Underline a title."""
    return [title, mark * len(title), ""]


def class_lines(cls: type, name: str) -> list[str]:
    """Describe a class and its methods."""
    lines = [f".. autoclass:: {name}", "   :no-members:", ""]
    ours, inherited = methods_of(cls)
    for method in ours:
        is_property = isinstance(inspect.getattr_static(cls, method), property)
        kind = "autoproperty" if is_property else "automethod"
        lines += [f"   .. {kind}:: {method}", ""]
    if inherited:
        names = ", ".join(f"``{method}``" for method in inherited)
        lines += [f"   Of `scikit-learn <{SKLEARN}>`__ it has {names}.", ""]
    return lines


def object_page(home: str) -> str:
    """Write the page of one public name."""
    module, _, name = home.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    lines = [*heading(home), f".. currentmodule:: {module}", ""]
    if inspect.isclass(value):
        lines += class_lines(value, name)
    elif inspect.isroutine(value):
        lines += [f".. autofunction:: {name}", ""]
    else:
        lines += [f".. autodata:: {name}", ""]
    lines += [f".. minigallery:: {home}", "   :add-heading: Examples of its use", ""]
    return "\n".join(lines)


def module_page(module: str, names: list[tuple[str, str]]) -> str:
    """Write the page of a module: what it is for, and a table of its names."""
    lines = [*heading(module), f".. automodule:: {module}", "   :no-members:", ""]
    for title, own in (("Names", True), ("Names that the package has too", False)):
        homes = [home for name, home in names if (home == f"{module}.{name}") is own]
        if not homes:
            continue
        lines += [f".. rubric:: {title}", "", ".. autosummary::", "   :nosignatures:"]
        lines += ["   :toctree: generated", ""] if own else [""]
        names_shown = [home.rpartition(".")[2] if own else f"~{home}" for home in homes]
        lines += [*(f"   {name}" for name in names_shown), ""]
    return "\n".join(lines)


def index_page(modules: list[str]) -> str:
    """Write the first page of the reference."""
    lines = [
        *heading("API reference"),
        "Every public name, by module. What is not here is private and may change",
        "without notice.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   {module}" for module in modules),
        "",
    ]
    return "\n".join(lines)


def reference_pages() -> dict[str, str]:
    """Give the text of every page by its path below the folder of the reference."""
    objects = public_objects()
    pages = {"index.rst": index_page(list(objects))}
    for module, names in objects.items():
        pages[f"{module}.rst"] = module_page(module, names)
        for _, home in names:
            pages[f"generated/{home}.rst"] = object_page(home)
    return pages


def write_reference(folder: Path) -> None:
    """Write all pages, touch none that is as it should be, and remove old ones."""
    pages = {folder / path: text for path, text in reference_pages().items()}
    for path in folder.rglob("*.rst") if folder.is_dir() else ():
        if path not in pages:
            path.unlink()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
