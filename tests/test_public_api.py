"""Documentation, parameters and house rules of the whole package."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyRegressor
from skorch import NeuralNet
from skorch.callbacks import Callback

import skmatgnn
from skmatgnn.estimators._net_base import BaseNetEstimator

ROOT = Path(skmatgnn.__file__).parent
PACKAGES = (
    "clusters",
    "datasets",
    "errors",
    "estimators",
    "feature_selection",
    "featurizers",
    "graphs",
    "inspection",
    "metrics",
    "model_selection",
    "nets",
    "nn",
    "preprocessing",
    "presets",
    "testing",
)
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages([str(ROOT)], "skmatgnn.")
    if not info.name.endswith("__main__")
)
KERNELS = ("skmatgnn.nn.ops._triton", "skmatgnn.nn.ops.fused")
FILES = sorted(ROOT.rglob("*.py"))
SECTION = r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)"
MAX_FILE, MAX_BODY = 500, 60


def public_names():
    for package in PACKAGES:
        module = importlib.import_module(f"skmatgnn.{package}")
        for name in module.__all__:
            yield pytest.param(getattr(module, name), id=f"{package}.{name}")


def estimator_classes():
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(f"skmatgnn.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, BaseEstimator):
                found[name] = value
    del found["GraphNet"]  # skorch's nets have their own rules
    return [pytest.param(value, id=name) for name, value in sorted(found.items())]


def documented_entries(doc):
    """Names in the Parameters section of a numpydoc docstring, and their types."""
    section = re.search(SECTION, inspect.cleandoc(doc), re.MULTILINE | re.DOTALL)
    if section is None:
        return []
    text = section[1].replace("\\\n", " ")
    entry = r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (.*(?:\n {8,}.*)*)|$)"
    return [
        (name.lstrip("*"), " ".join(kind.split()))
        for names, kind in re.findall(entry, text, re.MULTILINE)
        for name in names.split(", ")
    ]


def documented_parameters(doc):
    """Names in the Parameters section of a numpydoc docstring, in order."""
    return [name for name, _ in documented_entries(doc)]


def wrong_defaults(value):
    """Parameters whose docstring has another default than the signature, or none."""
    kinds = dict(documented_entries(value.__doc__ or ""))
    constants = vars(sys.modules[value.__module__])
    for name, parameter in inspect.signature(value).parameters.items():
        default, kind = parameter.default, kinds.get(name, "ignored")
        stated = re.search(r"default=(.+)$", kind)
        if stated is not None:
            text = stated[1].replace('"', "'")
            shown = {repr(default), getattr(default, "__name__", None)}
            if text not in shown and constants.get(text) is not default:
                yield name
        elif default is inspect.Parameter.empty or isinstance(default, tuple):
            continue  # tuples are spelt out in the text
        elif kind not in ("ignored", "object") and (
            "optional" not in kind or default is not None
        ):
            yield name


def signature_of(value):
    return [name for name in inspect.signature(value).parameters if name != "self"]


def test_top_package__all_names__can_be_imported_and_listed():
    assert set(skmatgnn.__all__) == set(dir(skmatgnn))
    for name in skmatgnn.__all__:
        assert getattr(skmatgnn, name) is not None
    assert set(PACKAGES) <= set(skmatgnn.__all__)
    assert {"ALIGNNRegressor", "CGCNNClassifier", "make_rf_magpie"} <= set(
        skmatgnn.__all__
    )
    with pytest.raises(AttributeError, match="no attribute 'NoSuchRegressor'"):
        skmatgnn.NoSuchRegressor  # noqa: B018


def test_top_package__version__is_that_of_the_metadata():
    config = (ROOT.parent / "setup.cfg").read_text()
    assert f"version = {skmatgnn.__version__}\n" in config


@pytest.mark.parametrize("package", PACKAGES)
def test_package__all__is_sorted_documented_and_complete(package):
    module = importlib.import_module(f"skmatgnn.{package}")
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)
    assert not [name for name in module.__all__ if name.startswith("_")]


@pytest.mark.parametrize("value", list(public_names()))
def test_public_name__docstring__lists_exactly_its_parameters(value):
    if not callable(value):
        return
    assert value.__doc__
    assert inspect.cleandoc(value.__doc__).split("\n")[0].endswith(".")
    assert "{" not in value.__doc__.split("Parameters")[0]
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert documented_parameters(value.__doc__) == signature_of(value)


@pytest.mark.parametrize("value", list(public_names()))
def test_public_class__methods__document_their_parameters(value):
    if not inspect.isclass(value) or not value.__module__.startswith("skmatgnn"):
        return
    for name, method in inspect.getmembers(value, callable):
        owner = getattr(method, "__module__", None) or ""
        if name.startswith("_") or not owner.startswith("skmatgnn"):
            continue
        if isinstance(method, type):
            continue
        parameters = documented_parameters(method.__doc__ or "")
        assert parameters == signature_of(method), f"{value.__name__}.{name}"


@pytest.mark.parametrize("value", list(public_names()))
def test_public_name__defaults__are_those_of_its_docstring(value):
    if not callable(value) or not value.__module__.startswith("skmatgnn"):
        return
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    assert not list(wrong_defaults(value))
    if not inspect.isclass(value) or issubclass(value, (NeuralNet, Callback)):
        return  # the hooks of skorch have defaults that skorch never uses
    for name, method in inspect.getmembers(value, callable):
        owner = getattr(method, "__module__", None) or ""
        if not name.startswith("_") and owner.startswith("skmatgnn"):
            assert not list(wrong_defaults(method)), f"{value.__name__}.{name}"


@pytest.mark.parametrize("value", list(public_names()))
def test_public_name__signature__is_typed(value):
    if not callable(value) or (inspect.isclass(value) and issubclass(value, Exception)):
        return
    if not value.__module__.startswith("skmatgnn"):
        return
    for name, parameter in inspect.signature(value).parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty, name


@pytest.mark.parametrize("cls", estimator_classes())
def test_estimator__constraints__are_those_of_the_constructor(cls):
    assert list(inspect.signature(cls).parameters) == signature_of(cls)
    assert set(cls._parameter_constraints) == set(inspect.signature(cls).parameters)
    assert set(cls._get_param_names()) == set(cls._parameter_constraints)


@pytest.mark.parametrize("cls", estimator_classes())
def test_estimator__defaults__satisfy_the_constraints_and_the_docs(cls):
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    assert set(required) <= {"estimator", "featurizer", "clusterer"}
    if required:
        return
    model = cls()
    model._validate_params()
    assert clone(model).get_params() == model.get_params()
    for name, parameter in inspect.signature(cls).parameters.items():
        if issubclass(cls, BaseNetEstimator):
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        entry = re.search(rf"^ *{name} : (.*(?:\n.*)?)", cls.__doc__, re.MULTILINE)[1]
        value = parameter.default
        if isinstance(value, tuple):
            continue  # spelt out in the text
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        assert f"default={shown}" in entry or "optional" in entry, name


@pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_fitted_attr_html"),
    reason="this scikit-learn does not show descriptions",
)
@pytest.mark.parametrize("cls", estimator_classes())
def test_estimator__html__describes_every_parameter_and_has_no_dead_link(cls):
    parameters = inspect.signature(cls).parameters
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    html = cls(**dict.fromkeys(required, DummyRegressor()))._repr_html_()
    for name in parameters:
        assert f"position-anchor: --doc-link-{name};" in html
    links = re.findall(r'href="([^"#]*)', html)
    assert "sklearn.dummy" in links[-1] if required else set(links) == {""}
    assert not [link for link in links if "skmatgnn" in link]


@pytest.mark.parametrize("name", MODULES)
def test_module__examples_in_docstrings__give_what_they_show(name):
    if name.startswith(KERNELS):
        pytest.importorskip("triton")
    if "_numba" in name:
        pytest.importorskip("numba")
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    report = []
    with mpl.rc_context({"backend": "Agg"}):
        for test in finder.find(module, name):
            runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


# inner workings that are public for those who build on them
WITHOUT_EXAMPLE = {
    "GraphNet",
    "ensure_graphs",
    "expected_failed_checks",
    "row_to_formula",
    "row_to_structure",
}


@pytest.mark.parametrize("value", list(public_names()))
def test_public_estimator_or_function__has_an_example(value):
    if getattr(value, "__name__", "") in WITHOUT_EXAMPLE:
        return
    if inspect.isclass(value):
        if not issubclass(value, BaseEstimator):
            return
    elif not inspect.isfunction(value):
        return
    assert ">>>" in value.__doc__


def parsed():
    return [
        pytest.param(path, ast.parse(path.read_text()), id=str(path.relative_to(ROOT)))
        for path in FILES
    ]


def body_lines(function):
    """Lines of a function without its docstring and signature."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize(("path", "tree"), parsed())
def test_file__size__is_within_the_limits(path, tree):
    assert len(path.read_text().splitlines()) <= MAX_FILE
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert body_lines(node) <= MAX_BODY, node.name


# what runs code that a file holds
UNPICKLING = {
    *("torch.load", "torch.save", "torch.jit.load", "joblib.load", "joblib.dump"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load"),
    *("pandas.read_pickle", "pd.read_pickle", "marshal.loads", "shelve.open"),
}
MAY_UNPICKLE = {
    # where skops is not installed
    "cli/_model_file.py": ["joblib.dump", "joblib.load"],
    # what the parent process wrote for it into a folder of this user alone
    "nets/_shipment.py": ["pickle.load", "pickle.loads"],
}


def forbidden(tree, *, may_print):
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except"
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in UNPICKLING:
            yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Call):
            yield from forbidden_calls(node, may_print=may_print)


def forbidden_calls(node, *, may_print):
    called = ast.unparse(node.func)
    if (called == "print" and not may_print) or called in {"eval", "exec"}:
        yield node.lineno, called
    if any(k.arg == "allow_pickle" and k.value.value for k in node.keywords):
        yield node.lineno, "allow_pickle"
    if called.endswith(".squeeze") and not (node.args or node.keywords):
        yield node.lineno, "squeeze without dim"
    if any(
        k.arg == "strict" and called.endswith("load_state_dict") for k in node.keywords
    ):
        yield node.lineno, "load_state_dict that is not strict"


@pytest.mark.parametrize(("path", "tree"), parsed())
def test_file__holds_no_smell(path, tree):
    name = path.relative_to(ROOT).as_posix()
    found = [kind for _, kind in forbidden(tree, may_print=name.startswith("cli/"))]
    assert sorted(found) == MAY_UNPICKLE.get(name, [])


def test_smells__are_found():
    code = (
        "try:\n    print(1)\nexcept:\n    torch.load(x.squeeze())\n"
        "assert x\nm.load_state_dict(s, strict=False)\n"
        "np.load(f, allow_pickle=True)\nread = joblib.load"
    )
    kinds = [kind for _, kind in forbidden(ast.parse(code), may_print=False)]
    assert sorted(kinds) == [
        "allow_pickle",
        "assert",
        "bare except",
        "joblib.load",
        "load_state_dict that is not strict",
        "print",
        "squeeze without dim",
        "torch.load",
    ]
