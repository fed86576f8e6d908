"""save and load: the same estimator again, and no code out of a file."""

import json
import pickle
import struct
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import EpochTimer

import skmatgnn
from skmatgnn import CGCNNRegressor, CrabNetRegressor, MODNetRegressor, load_estimator
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._encoding import Decoder, Encoder
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.nets import _checkpoint

STORED = Path(__file__).parents[1] / "data" / "checkpoints"
TABLE = {
    "CrabNetRegressor": {"d_model": 8, "n_heads": 2, "n_layers": 1},
    "CrabNetClassifier": {"d_model": 8, "n_heads": 2, "n_layers": 1},
    "MODNetRegressor": {"n_neurons": ((4,), (), (4,), ()), "n_models": 2},
    "MODNetClassifier": {"n_neurons": ((4,), (), (4,), ()), "n_features": 5},
}
NAMES = [
    "MPTRegressor",
    *("ALIGNNRegressor", "ALIGNNClassifier", "CGCNNRegressor", "CGCNNClassifier"),
    *TABLE,
]


@pytest.fixture(params=NAMES)
def fitted(request, small, data):
    """An estimator with its data and what it predicts from them."""
    name = request.param
    X, y = data.X, data.y
    if name in TABLE:
        X = [structure.formula for structure in X]
        training = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
        model = getattr(skmatgnn, name)(**training, **TABLE[name])
    else:
        model = small.model(name)
    if name.endswith("Classifier"):
        y = data.labels
    return model.fit(X, y), X, y


def outputs(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


@pytest.fixture
def model(small, data):
    return small.model("CGCNNRegressor").fit(data.X, data.y)


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_load__every_estimator__predicts_the_same_bits(fitted, tmp_path):
    model, X, _ = fitted
    model.save(tmp_path / "model")
    for loaded in (
        type(model).load(tmp_path / "model"),
        load_estimator(str(tmp_path / "model")),
    ):
        assert type(loaded) is type(model)
        assert np.array_equal(outputs(loaded, X), outputs(model, X))
        assert np.array_equal(loaded.predict(X), model.predict(X))
        assert repr(loaded.get_params()) == repr(model.get_params())
        assert loaded.history_ == model.history_
        assert list(tmp_path.iterdir()) == [tmp_path / "model"]


def test_load__every_estimator__is_cloned_refitted_and_pickled(fitted, tmp_path):
    model, X, y = fitted
    expected = outputs(model, X)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert np.array_equal(outputs(clone(loaded).fit(X, y), X), expected)
    assert np.array_equal(outputs(pickle.loads(pickle.dumps(loaded)), X), expected)
    assert np.array_equal(outputs(loaded.fit(X, y), X), expected)


def test_load__every_estimator__goes_on_as_the_saved_one_would(fitted, tmp_path):
    model, X, y = fitted
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    for m in (model, loaded):
        m.set_params(warm_start=True).fit(X, y)
    assert np.array_equal(outputs(loaded, X), outputs(model, X))
    loaded = load_estimator(tmp_path / "model").partial_fit(X, y)
    assert loaded.n_epochs_ == 3
    assert [row["epoch"] for row in loaded.history_] == [1, 2, 3]


def test_save__loaded_estimator__gives_the_same_bytes(fitted, tmp_path):
    model, _, _ = fitted
    model.save(tmp_path / "first")
    load_estimator(tmp_path / "first").save(tmp_path / "second")
    first, second = (load_file(tmp_path / name) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[k], second[k], equal_nan=True) for k in first)


def test_load__after_parameters_were_changed__keeps_the_network(data, small, tmp_path):
    model = small.model("ALIGNNRegressor").fit(data.X, data.y)
    expected = model.predict(data.X)
    model.set_params(hidden_dim=31, norm="batch", precision="float64", batch_size=3)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert np.array_equal(loaded.predict(data.X), expected)
    assert (loaded.hidden_dim, loaded.batch_size) == (31, 3)


def test_load__all_kinds_of_parameters__come_back(data, small, tmp_path):
    parameters = {
        "element_features": np.random.default_rng(0).normal(size=(119, 3)),
        "random_state": np.random.RandomState(7),
        "device": torch.device("cpu"),
        "lr": np.float64(0.01),
        "n_jobs": None,
        "net_params": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5},
        "precision": "float64",
        "batch_size": np.int64(5),
    }
    model = small.model(norm="batch", **parameters)
    Y = np.column_stack([data.y, np.where(np.arange(24) % 3, data.y, np.nan)])
    model.fit(data.X, Y).save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))
    assert loaded.net_params == parameters["net_params"]
    assert loaded.device == parameters["device"]
    assert type(loaded.lr) is np.float64
    assert np.array_equal(loaded.element_features, parameters["element_features"])
    for m in (model, loaded):  # the generators are in the same state, too
        m.fit(data.X, Y)
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(24) % 3,
        np.arange(24) % 3 == 1,
        np.where(np.arange(24) % 2, "ä", "\U0001f9ea"),
        np.array(["a", "b"], dtype=object)[np.arange(24) % 2],
        (np.arange(24) % 2).astype(np.int8),
        np.where(np.arange(24) % 2, 2.0, -3.0).astype(np.float16),
        (np.arange(24) % 2).astype(">i8"),
    ],
    ids=lambda labels: labels.dtype.str,
)
def test_load__labels_of_any_type__have_that_type(labels, data, small, tmp_path):
    model = small.model("CGCNNClassifier").fit(data.X, labels)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert loaded.classes_.dtype == model.classes_.dtype
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))
    assert loaded.predict(data.X).dtype == model.predict(data.X).dtype


def test_load__table_and_own_featurizer__come_back(data, tmp_path):
    formulas = [structure.formula for structure in data.X]
    small = {**TABLE["MODNetRegressor"], "max_epochs": 1, "random_state": 0}
    model = MODNetRegressor(featurizer=MagpieFeatures(), **small)
    model.fit(formulas, data.y).save(tmp_path / "magpie")
    loaded = load_estimator(tmp_path / "magpie")
    assert np.array_equal(loaded.predict(formulas), model.predict(formulas))
    X = np.random.default_rng(0).normal(size=(24, 4))
    X[3, 2] = np.nan
    model = MODNetRegressor(featurizer=None, **small).fit(X, data.y)
    model.save(tmp_path / "table")
    loaded = load_estimator(tmp_path / "table")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="4 features"):
        loaded.predict(X[:, :2])


def test_save__what_only_pickle_could_save__is_refused_by_name(data, small, tmp_path):
    model = small.model(callbacks=[EpochTimer()]).fit(data.X, data.y)
    with pytest.raises(InvalidTypeError, match=r"callbacks\.0 cannot be saved"):
        model.save(tmp_path / "model")
    model.set_params(callbacks=None).save(tmp_path / "model")
    assert np.array_equal(
        load_estimator(tmp_path / "model").predict(data.X), model.predict(data.X)
    )


def test_save__unfitted__says_so(small, tmp_path):
    with pytest.raises(NotFittedError):
        small.model().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_save__failing__keeps_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_save__folder_or_missing_folder__is_an_os_error(model, tmp_path):
    with pytest.raises(OSError, match="could not be written"):
        model.save(tmp_path / "nowhere" / "model")
    with pytest.raises(OSError, match=str(tmp_path)):
        model.save(tmp_path)
    with pytest.raises(InvalidTypeError, match="path must be a str"):
        model.save(3)


def test_file__content__is_safetensors_and_readable_json(path, model):
    weights = load_file(path)
    for name, tensor in model.net_.module_.state_dict().items():
        assert np.array_equal(weights[f"net.{name}"], tensor.numpy())
    raw = path.read_bytes()
    assert not raw.startswith((b"\x80", b"PK"))
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    metadata = header["__metadata__"]
    config = json.loads(metadata["config"])
    version = str(_checkpoint.VERSION)
    assert (metadata["format"], metadata["version"]) == ("skmatgnn.checkpoint", version)
    assert config["estimator"] == "CGCNNRegressor"
    assert config["parameters"]["hidden_dim"] == 8
    assert "torch" in config["saved_with"]


def test_load__other_class__names_the_right_one(path):
    with pytest.raises(InvalidValueError, match=r"CGCNNRegressor.*CGCNNRegressor.load"):
        CrabNetRegressor.load(path)


def test_load__subclass_of_the_user__is_its_own(path, data, tmp_path):
    class Mine(CGCNNRegressor):
        """A subclass."""

    mine = Mine(**CGCNNRegressor.load(path).get_params()).fit(data.X, data.y)
    mine.save(tmp_path / "mine")
    assert type(Mine.load(tmp_path / "mine")) is Mine
    with pytest.raises(InvalidValueError, match="'Mine', which this version does not"):
        load_estimator(tmp_path / "mine")


def test_load__every_kind_of_wrong_file__is_refused(tmp_path, path, model):
    def refused(name, match):
        with pytest.raises(InvalidValueError, match=match):
            load_estimator(tmp_path / name)

    refused("nowhere", "does not exist")
    (tmp_path / "folder").mkdir()
    refused("folder", "is no file")
    (tmp_path / "empty").write_bytes(b"")
    refused("empty", "damaged or not in the safetensors format")
    (tmp_path / "text").write_text("id,prop\n" * 20)
    refused("text", "damaged or not in the safetensors format")
    (tmp_path / "pickle").write_bytes(pickle.dumps(model))
    refused("pickle", "not in the safetensors format.*it begins as a pickle does")
    torch.save(model.net_.module_.state_dict(), tmp_path / "torch")
    assert zipfile.is_zipfile(tmp_path / "torch")
    refused("torch", "damaged or not in the safetensors format")
    save_file({"a": np.zeros(3)}, tmp_path / "other")
    refused("other", "no checkpoint of skmatgnn")


def test_load__pickle_with_code__does_not_run_it(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidValueError):
        load_estimator(tmp_path / "bomb")
    assert not (tmp_path / "exploded").exists()


def test_load__every_truncation_and_every_flipped_byte__is_refused(path):
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in [*rng.integers(0, len(data), 60), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(InvalidValueError):
            load_estimator(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(InvalidValueError):
        load_estimator(path)
    for place in rng.integers(0, len(data), 120):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(damaged))
        with pytest.raises(InvalidValueError):
            load_estimator(path)
    path.write_bytes(data)
    load_estimator(path)


def edited(path, edit):
    """Change the content of a checkpoint and mend its checksum."""
    config, arrays = _checkpoint.read_checkpoint(path)
    edit(config, arrays)
    _checkpoint.write_checkpoint(path, config, arrays)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c, a: a.pop("net.head.bias"), "net.head.bias"),
        (lambda c, a: a.update(extra=np.zeros(2)), "unknown arrays.*extra"),
        (lambda c, a: a.update({"net.head.bias": np.zeros(1)}), "head.bias.*float64"),
        (
            lambda c, a: a.update({"net.head.bias": np.zeros(2, np.float32)}),
            r"head\.bias.*\(2,\)",
        ),
        (lambda c, a: c["network"]["weights"].reverse(), "weights are not those"),
        (lambda c, a: c["network"]["arguments"].update(node_dim=9), "weights"),
        (
            lambda c, a: c["network"]["arguments"].update(n_conv_layers=10**12),
            "n_conv_layers=1000000000000, but few weights",
        ),
        (
            lambda c, a: c["network"]["arguments"].update(edge_step=1e-300),
            "cannot be loaded",
        ),
        (lambda c, a: c["network"]["arguments"].update(evil=9), "evil"),
        (lambda c, a: c["parameters"].update(evil=9), "no parameters.*evil"),
        (lambda c, a: c["parameters"].update(lr=-1), "'lr' parameter"),
        (lambda c, a: c["fitted"].update(predict=9), "unknown attribute 'predict'"),
        (lambda c, a: c["fitted"].update(__class__=9), "unknown attribute"),
        (lambda c, a: c["fitted"].update(net_=9), "unknown attribute 'net_'"),
        (lambda c, a: c.update(estimator="system"), "'system', which this version"),
        (lambda c, a: c.update(estimator="make_rf_magpie"), "which this version"),
        (lambda c, a: c.pop("network"), "not as save writes it.*network"),
        (lambda c, a: c.update(parameters=[1]), "not as save writes it"),
        (
            lambda c, a: c["parameters"].update(callbacks={"!evil": "os.system"}),
            "unknown kind.*!evil",
        ),
        (
            lambda c, a: c["parameters"].update(net_params={"!optimizer": "Tensor"}),
            "no optimizer of torch",
        ),
        (
            lambda c, a: c["fitted"].update(x_={"!object": ["Popen", {}]}),
            "not as save writes it.*Popen",
        ),
        (
            lambda c, a: c["fitted"].update(x_={"!values": ["V8", [1], [0]]}),
            "unknown type 'V8'",
        ),
    ],
)
def test_load__content_that_fits_its_checksum_but_nothing_else__is_refused(
    edit, message, path
):
    edited(path, edit)
    with pytest.raises(InvalidValueError, match=message):
        load_estimator(path)


def test_load__parameter_younger_than_the_file__has_its_default(path):
    edited(path, lambda config, _: config["parameters"].pop("warm_start"))
    assert load_estimator(path).warm_start is False


def test_load__global_state__is_left_alone(path):
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load_estimator(path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_load__device_argument__replaces_the_saved_one(path, data):
    loaded = load_estimator(path, device="cpu")
    assert loaded.device == "cpu"
    assert CGCNNRegressor.load(path, device="auto").device == "auto"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_load__saved_for_cuda_without_cuda__says_what_to_do(model, path, data):
    model.set_params(device="cuda").save(path)
    with pytest.raises(InvalidValueError, match="device='auto'"):
        load_estimator(path)
    loaded = load_estimator(path, device="auto")
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))


def test_load__file_of_a_later_version__says_update(path, monkeypatch):
    config, arrays = _checkpoint.read_checkpoint(path)
    monkeypatch.setattr(_checkpoint, "VERSION", _checkpoint.VERSION + 1)
    _checkpoint.write_checkpoint(path, config, arrays)
    monkeypatch.undo()
    with pytest.raises(InvalidValueError, match=r"later version.*Update skmatgnn"):
        load_estimator(path)


def test_upgrade__file_of_an_earlier_version__is_brought_up_step_by_step(
    path, data, monkeypatch
):
    expected = load_estimator(path).predict(data.X)

    def rename(config, arrays):
        config["parameters"]["lr"] = config["parameters"].pop("learning_rate")
        return config, arrays

    def mark(config, arrays):
        return {**config, "steps": [*config.get("steps", []), 2]}, arrays

    def age(config, arrays):
        config["parameters"]["learning_rate"] = config["parameters"].pop("lr")

    edited(path, age)
    present = _checkpoint.VERSION
    monkeypatch.setattr(_checkpoint, "VERSION", present + 2)
    monkeypatch.setattr(_checkpoint, "UPGRADES", {present: rename, present + 1: mark})
    assert np.array_equal(load_estimator(path).predict(data.X), expected)
    assert _checkpoint.read_checkpoint(path)[0]["steps"] == [2]


@pytest.mark.parametrize("file", sorted(STORED.glob("*.safetensors")), ids=str)
def test_load__checkpoints_of_earlier_versions__still_predict_the_same(file, data):
    content = json.loads(file.with_suffix(".json").read_text())
    assert sha256(file.read_bytes()).hexdigest() == content["sha256"]
    model = load_estimator(file, device="cpu")
    X = [s.formula for s in data.X] if content["formulas"] else data.X
    assert outputs(model, X).ravel() == pytest.approx(content["outputs"], rel=1e-5)


@pytest.mark.parametrize("file", sorted(STORED.glob("*_v1.safetensors")), ids=str)
def test_upgrade__stored_file__is_brought_up_and_predicts_the_same(
    file, data, monkeypatch
):
    """What the next version would do that renames a parameter and an array."""
    content = json.loads(file.with_suffix(".json").read_text())
    first, seen = _checkpoint.VERSION, []

    def to_next(config, arrays):
        seen.append((config["estimator"], len(arrays)))
        name = "lr" if "lr" in config["parameters"] else "n_models"
        config["parameters"]["renamed"] = [name, config["parameters"].pop(name)]
        arrays["renamed"] = arrays.pop("net.head.weight", None)
        return config, {k: v for k, v in arrays.items() if v is not None}

    def to_second_next(config, arrays):
        name, value = config["parameters"].pop("renamed")
        config["parameters"][name] = value
        if "renamed" in arrays:
            arrays["net.head.weight"] = arrays.pop("renamed")
        return config, arrays

    steps = {**_checkpoint.UPGRADES, first: to_next, first + 1: to_second_next}
    monkeypatch.setattr(_checkpoint, "VERSION", first + 2)
    monkeypatch.setattr(_checkpoint, "UPGRADES", steps)
    model = load_estimator(file, device="cpu")
    assert len(seen) == 1
    assert seen[0][0] == type(model).__name__
    X = [s.formula for s in data.X] if content["formulas"] else data.X
    assert outputs(model, X).ravel() == pytest.approx(content["outputs"], rel=1e-5)


def test_upgrades__every_earlier_version__has_one():
    assert set(_checkpoint.UPGRADES) == set(range(1, _checkpoint.VERSION))


def test_load__checkpoints_of_earlier_versions__are_there():
    assert len(list(STORED.glob("*.safetensors"))) >= 3


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -(10**30), 0.1, np.inf, np.nan, "ä\n", [], (), {}, [1, (2, [3])],
        {"a": 1, 2: (None,)}, np.float32(0.1), np.bool_(True), np.str_("x"),
        np.array(3.5), np.array([], dtype=np.float32), np.array([[1, 2]]).T,
        np.array(["a", None, 3], dtype=object), Path("a/b"), torch.device("cuda:1"),
    ],
    ids=repr,
)  # fmt: skip
def test_encoding__value__comes_back_through_json(value):
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "here"), allow_nan=False)
    decoder = Decoder(encoder.arrays)
    again = decoder.decode(json.loads(text))
    assert decoder.arrays == {}
    assert type(again) is type(value)
    np.testing.assert_equal(again, value)
    if isinstance(value, np.ndarray):
        assert (again.dtype, again.shape) == (value.dtype, value.shape)


@pytest.mark.parametrize(
    "value",
    [object(), len, Path, np.array([object()]), {1, 2}, b"x", 1j],
    ids=lambda value: type(value).__name__,
)
def test_encoding__what_is_no_plain_value__is_refused_with_its_place(value):
    with pytest.raises(InvalidTypeError, match=r"here\b.*cannot be saved"):
        Encoder().encode(value, "here")


def test_encoding__frozen_estimator_of_another_package__is_refused():
    from sklearn.linear_model import Ridge

    with pytest.raises(InvalidTypeError, match="Ridge cannot be saved"):
        Encoder().encode(FrozenEstimator(Ridge()), "pretrained")
