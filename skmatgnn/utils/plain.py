"""Functions, classes and objects as plain values, the same in every process."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from pickle import PicklingError
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import joblib
import numpy as np

from skmatgnn.utils.digest import digest

__all__ = ["PlainDescriber"]

_ATOMS = (str, bytes, int, float, complex, type(None))
_CONSTANTS = (*_ATOMS, tuple, frozenset, np.ndarray, np.generic)
_OF_CODE = (
    *("co_code", "co_exceptiontable", "co_flags", "co_argcount"),
    *("co_posonlyargcount", "co_kwonlyargcount", "co_names", "co_varnames"),
    *("co_freevars", "co_cellvars"),
)
_UNHASHABLE = (PicklingError, AttributeError, TypeError, ValueError, RuntimeError)


class PlainDescriber:
    """Describe values by what `digest` can hash the same way in another process.

    Functions and classes are told apart by what they do: by their code and all that it
    refers to, be it defaults, variables of an outer function, or functions, classes
    and constants of their module. Those of installed packages count by their names.
    Lists, dicts and objects that a function finds in its module do not count: they
    often change while it runs.

    Parameters
    ----------
    without_fitted : tuple of type, default=()
        Classes of which attributes that end with an underscore are left out.

    Examples
    --------
    >>> from skmatgnn.utils.digest import digest
    >>> from skmatgnn.utils.plain import PlainDescriber
    >>> squared, cubed, again = lambda x: x**2, lambda x: x**3, lambda x: x**2
    >>> one, other, third = (
    ...     digest(PlainDescriber().describe(f)) for f in (squared, cubed, again)
    ... )
    >>> one == other, one == third
    (False, True)
    """

    def __init__(self, without_fitted: tuple[type, ...] = ()) -> None:
        self.without_fitted = without_fitted
        self._within: list[int] = []
        self._reached: dict[int, Any] = {}

    def describe(self, value: Any) -> Any:
        """Describe one value.

        Parameters
        ----------
        value : object

        Returns
        -------
        object
            Made of lists, dicts, arrays, strings and numbers, and objects that
            `digest` can hash.
        """
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, _ATOMS):
            return value
        if id(value) in self._within:  # a function that calls itself, say
            return ["again", len(self._within) - self._within.index(id(value))]
        self._within.append(id(value))
        try:
            return self._compound(value)
        finally:
            self._within.pop()

    def referred(self) -> list[str]:
        """Describe the classes and functions that what was described refers to.

        Returns
        -------
        list of str
            A hash of each.
        """
        found, n_done = [], 0
        while n_done < len(self._reached):  # it grows meanwhile
            value = [*self._reached.values()][n_done]
            found.append(digest(self._code_of(value)))
            n_done += 1
        return sorted(found)

    def _compound(self, value: Any) -> Any:
        for kinds, method in self._METHODS:
            if isinstance(value, kinds):
                return method(self, value)
        if _is_tensor(value):
            return self._tensor(value)
        if isinstance(value, self.without_fitted):
            settings = {k: v for k, v in vars(value).items() if not k.endswith("_")}
            return [self.describe(type(value)), self._dict(settings)]
        if hasattr(value, "__wrapped__") and _is_installed(type(value)):
            # as functools.cache makes it
            return [_name(type(value)), self.describe(value.__wrapped__)]
        if hasattr(value, "__qualname__") and "__qualname__" not in _state(value):
            return self._builtin(value)
        return self._object(value)

    def _list(self, values: Iterable) -> list:
        return [self.describe(item) for item in values]

    def _dict(self, values: dict) -> Any:
        if all(isinstance(key, str) for key in values):
            return {key: self.describe(item) for key, item in values.items()}
        return ["dict", *sorted(digest(self._list(pair)) for pair in values.items())]

    def _set(self, values: Iterable) -> list:
        return ["set", *sorted(digest(self.describe(item)) for item in values)]

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype != object:
            return value
        return ["array", list(value.shape), self._list(value.ravel().tolist())]

    def _tensor(self, value: Any) -> Any:
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            return ["bfloat16", value.float().numpy()]
        return value.numpy()

    def _partial(self, value: partial) -> list:
        return ["partial", *self._list([value.func, value.args, value.keywords])]

    def _method(self, value: MethodType) -> list:
        return ["method", *self._list([value.__func__, value.__self__])]

    def _module(self, value: ModuleType) -> str:
        return f"module {value.__name__}"

    def _ufunc(self, value: np.ufunc) -> list:
        # not by its attributes, to which others add: dask.array a signature; but by
        # the function of which np.frompyfunc made it, which has no other way to it
        functions = [part for part in gc.get_referents(value) if callable(part)]
        return [f"ufunc {value.__name__}", *self._list(functions)]

    def _builtin(self, value: Any) -> Any:
        """Describe what has no code to look at, such as ``math.sqrt``."""
        owner = getattr(value, "__self__", None)
        if owner is None or isinstance(owner, ModuleType | type):
            return _name(value)
        return ["method", _name(value), self.describe(owner)]

    def _named(self, value: Any) -> Any:
        """Describe a function or a class; what has a name of its own, later."""
        value = getattr(value, "_torchdynamo_orig_callable", value)  # torch.compile
        if _is_installed(value):
            return _name(value)
        if "<" in value.__qualname__:  # a lambda or what a function has made
            return self._code_of(value)
        self._reached.setdefault(id(value), value)
        return _name(value)

    def _code_of(self, value: Any) -> list:
        members = self._class(value) if isinstance(value, type) else self._body(value)
        return [_name(value), *members]

    def _body(self, function: FunctionType) -> Iterator[Any]:
        yield self._code(function.__code__)
        yield self.describe(function.__defaults__)
        yield self.describe(function.__kwdefaults__)
        yield [self.describe(_content(cell)) for cell in function.__closure__ or ()]
        names = sorted(set(_globals_of(function.__code__)))
        known = {k: function.__globals__[k] for k in names if k in function.__globals__}
        yield {k: self.describe(v) for k, v in known.items() if _is_constant(v)}

    def _code(self, code: CodeType) -> list:
        return [*(getattr(code, k) for k in _OF_CODE), self._list(code.co_consts)]

    def _class(self, cls: type) -> Iterator[Any]:
        yield self._list(cls.__bases__)
        members = {}
        for name, member in sorted(vars(cls).items()):
            parts = [part for part in _parts(member) if _is_constant(part)]
            special = name.startswith("__") and isinstance(member, _CONSTANTS)
            if parts and not special:
                members[name] = [type(member).__name__, *self._list(parts)]
        yield members

    def _object(self, value: Any) -> list:
        cls = type(value)
        content: Any = _state(value) if hasattr(value, "__dict__") else None
        # its own way to be pickled may leave out what is no part of its meaning
        if content is None or _is_pickled_its_own_way(cls):
            content = _hash(value) or content
        if isinstance(content, dict):
            content = self._dict(content)
        return [self.describe(cls), content]

    _METHODS: tuple[tuple[Any, Callable], ...] = (
        ((list, tuple), _list),
        (dict, _dict),
        ((set, frozenset), _set),
        (np.ndarray, _array),
        (np.ufunc, _ufunc),
        (partial, _partial),
        (MethodType, _method),
        (ModuleType, _module),
        (CodeType, _code),
        ((FunctionType, type), _named),
    )


def _name(value: Any) -> str:
    module = getattr(value, "__module__", None) or ""
    # a process that multiprocessing starts calls the script so
    module = "__main__" if module == "__mp_main__" else module
    return f"{module}.{value.__qualname__}"


def _state(value: Any) -> dict[str, Any]:
    return getattr(value, "__dict__", {})


def _is_installed(value: Any) -> bool:
    """Whether its name means the same as long as no package is changed."""
    module = getattr(value, "__module__", None) or ""
    found: Any = sys.modules.get(module)
    root, path = module.partition(".")[0], getattr(found, "__file__", None)
    if root not in {"skmatgnn", *sys.stdlib_module_names}:
        folders = {*Path(path or "").parts} & {"site-packages", "dist-packages"}
        if not folders or root in ("__main__", "__mp_main__"):
            return False
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _globals_of(code: CodeType) -> Iterator[str]:
    """Names that code looks up in its module."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _globals_of(part)


def _is_constant(value: Any) -> bool:
    kinds = (*_CONSTANTS, FunctionType, type, partial)
    return isinstance(value, kinds) or _is_tensor(value)


def _is_tensor(value: Any) -> bool:
    torch: Any = sys.modules.get("torch")  # which nothing here should import
    return torch is not None and isinstance(value, torch.Tensor)


def _parts(member: Any) -> list[Any]:
    """Take the functions out of what wraps them in a class."""
    if isinstance(member, staticmethod | classmethod):
        return [member.__func__]
    if isinstance(member, property):
        return [member.fget, member.fset, member.fdel]
    return [member.func if isinstance(member, cached_property) else member]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return ["empty"]


def _is_pickled_its_own_way(cls: type) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__")
    return any(getattr(cls, n, None) is not getattr(object, n, None) for n in names)


def _hash(value: Any) -> str | None:
    """Hash an object as a whole, if that can be done."""
    try:
        # of an estimator the parameters, each of its kind
        return digest(value) if hasattr(value, "get_params") else joblib.hash(value)
    except _UNHASHABLE:
        return None
