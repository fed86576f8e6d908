"""What is fuzzed: readers of users' files, with seeds and a mutation that knows them.

Each target takes bytes and either reads them or raises one of our own errors. Anything
else that it raises, and any input that takes long, is a bug.
"""

from __future__ import annotations

import json
import math
import random
import struct
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from skmatgnn import CrabNetRegressor, load_estimator
from skmatgnn.datasets import load_id_prop, make_crystals, read_electrodes
from skmatgnn.errors import SkmatgnnError
from skmatgnn.nets import _checkpoint, _training_record

TOKENS = (
    *(b"nan", b"inf", b"-1", b"0", b"1e999", b"1e308", b"99999999999", b"1.5(3)"),
    *(b"", b" ", b"\n", b"\r", b"\t", b",", b'"', b"'", b";", b"?", b"."),
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x88\x9e", b"../x", b"Xx", b"D+", b"Fe3+"),
    *(b"loop_", b"data_", b"_cell_length_a", b"_symmetry_equiv_pos_as_xyz", b"x,y,z"),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"null",
        b"true",
        b"1e-320",
        b"!tensor",
        b"!frozen",
    ),
    *(b"__class__", b"net_", b"float64", b"Selective dynamics", b"Direct"),
)


@cache
def folder():
    """A folder for the files, which ends with the process."""
    place = tempfile.TemporaryDirectory()
    folder.keep = place
    root = Path(place.name)
    crystal = make_crystals(1, random_state=0).data[0]
    (root / "csv").mkdir()
    crystal.to(filename=str(root / "csv" / "c0.cif"), fmt="cif")
    crystal.to(filename=str(root / "csv" / "c1.vasp"), fmt="poscar")
    for name in ("cif", "poscar", "json"):
        (root / name).mkdir()
    (root / "cif" / "id_prop.csv").write_text("c0,1.5\n")
    (root / "poscar" / "id_prop.csv").write_text("c0,1.5\n")
    return root


@cache
def fitted():
    """A checkpoint and a training state of the smallest network."""
    root = folder()
    model = CrabNetRegressor(
        d_model=4, n_heads=1, n_layers=0, max_epochs=2, random_state=0, device="cpu",
        element_features=np.eye(12)[:, :2], checkpoint_dir=root / "states",
    )  # fmt: skip
    model.fit(["H", "He", "LiH", "BeO"], [1.0, 2.0, 3.0, 5.0])
    model.set_params(checkpoint_dir=None).save(root / "model")
    (state,) = (root / "states").iterdir()
    return model, (root / "model").read_bytes(), state.read_bytes()


def id_prop_csv(data):
    (folder() / "csv" / "id_prop.csv").write_bytes(data)
    load_id_prop(folder() / "csv")


def id_prop_json(data):
    (folder() / "json" / "id_prop.json").write_bytes(data)
    load_id_prop(folder() / "json")


def cif_file(data):
    (folder() / "cif" / "c0.cif").write_bytes(data)
    load_id_prop(folder() / "cif")


def poscar_file(data):
    (folder() / "poscar" / "c0.vasp").write_bytes(data)
    load_id_prop(folder() / "poscar")


def electrodes_csv(data):
    (folder() / "electrodes.csv").write_bytes(data)
    read_electrodes(folder() / "electrodes.csv")


def checkpoint(data):
    (folder() / "loaded").write_bytes(data)
    load_estimator(folder() / "loaded")


def checkpoint_config(data):
    """A checkpoint whose settings were changed and whose checksum was mended."""
    fitted()
    config = parsed(data)
    _, arrays = _checkpoint.read_checkpoint(folder() / "model")
    _checkpoint.write_checkpoint(folder() / "mended", config, arrays)
    load_estimator(folder() / "mended")


def state_config(data):
    """A training state whose settings were changed and whose checksum was mended."""
    model, _, _ = fitted()
    (path,) = (folder() / "states").iterdir()
    sealed = {"kind": _training_record.FORMAT, "newest": 1, "what": "", "other": ""}
    _, arrays, _ = _checkpoint.read_sealed(path, **sealed)
    config = parsed(data)
    record = object.__new__(_training_record.TrainingRecord)
    record.path, record.fingerprint = folder() / "state", "f"
    if isinstance(config, dict):
        config["fingerprint"] = "f"
    sealed = {"kind": _training_record.FORMAT, "version": 1}
    _checkpoint.write_sealed(record.path, config, arrays, **sealed)
    net = model._make_net(model.net_.get_params_for("module"), 4)
    net.notify("on_train_begin")
    record.recall(net)


def parsed(data):
    try:
        text = data.decode(errors="replace")
        return json.loads(text, parse_constant=str, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise SkmatgnnError("no JSON") from error


def finite(text):
    return float(text) if math.isfinite(float(text)) else text


def config_of(data):
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    return header["__metadata__"]["config"].encode()


@cache
def targets():
    """Functions of bytes, with seeds."""
    crystals = make_crystals(3, random_state=0).data
    cif = [crystal.to(fmt="cif").encode() for crystal in crystals]
    poscar = [crystal.to(fmt="poscar").encode() for crystal in crystals]
    atoms = {
        "lattice_mat": crystals[0].lattice.matrix.tolist(),
        "coords": crystals[0].frac_coords.tolist(),
        "elements": [site.specie.symbol for site in crystals[0]],
    }
    record = [{"jid": "a", "atoms": atoms, "target": 1.5}]
    electrodes = (
        b"battery_id,formula_charge,formula_discharge,working_ion,average_voltage,"
        b"capacity_grav,capacity_vol\nb1,FePO4,LiFePO4,Li,3.4,170,600\n"
        b"b2,CoO2,NaCoO2,Na,2.9,,1100\n"
    )
    id_prop = b'id,a,b\n"c0",1,2\nc1,,3\n'
    _, model, state = fitted()
    return {
        "id_prop_csv": (id_prop_csv, [b"c0,1.5\nc1,2.5\n", id_prop]),
        "id_prop_json": (id_prop_json, [json.dumps(record).encode()]),
        "cif_file": (cif_file, cif),
        "poscar_file": (poscar_file, poscar),
        "electrodes_csv": (electrodes_csv, [electrodes]),
        "checkpoint": (checkpoint, [model, state]),
        "checkpoint_config": (checkpoint_config, [config_of(model)]),
        "state_config": (state_config, [config_of(state)]),
    }


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """Change a few places: flip, cut, repeat, or put in what such files contain."""
    data = bytearray(seed)
    # most of a checkpoint is weights, and its header is what is read
    reach = min(len(data), 6000)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        start = rng.randrange(reach + 1)
        stop = min(len(data), start + rng.choice((0, 1, 2, 4, 8, 20, 100)))
        kind = rng.randrange(5)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[start:stop] = b""
        elif kind == 2:
            data[start:start] = data[start:stop] * rng.choice((1, 2, 30))
        elif kind == 3:
            data[start:stop] = rng.choice(TOKENS)
        else:
            number = (b"%d", b"%g")[rng.randrange(2)] % rng.choice(
                (0, -1, 2, 119, 2**31, 2**63, 1e-7, 1e7, 1e30)
            )
            data[start:stop] = number
    return bytes(data)


def attempt(target, data: bytes) -> bool:
    """Say whether a target reads the data; only our own errors pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target(data)
        except SkmatgnnError:
            return False
    return True
