"""Tables with a structure in each row."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Species, Structure

from skmatgnn.datasets import make_crystals, read_structures
from skmatgnn.errors import InvalidTypeError, InvalidValueError

PHONONS = (Path(__file__).parents[2] / "../shared/data/phonons.json.gz").resolve()


@pytest.fixture(scope="module")
def crystals():
    return list(make_crystals(5, random_state=0).data)


def as_atoms(structure):
    return {
        "lattice_mat": structure.lattice.matrix.tolist(),
        "coords": structure.cart_coords.tolist(),
        "elements": [site.specie.symbol for site in structure],
        "cartesian": True,
    }


def as_arrays(structure):
    return {
        "lattice": structure.lattice.matrix.tolist(),
        "species": [site.specie.symbol for site in structure],
        "frac_coords": structure.frac_coords.tolist(),
    }


def same(found, expected):
    return all(a.matches(b, scale=False) for a, b in zip(found, expected, strict=True))


def write(path, rows):
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    "cell",
    [
        Structure.as_dict,
        Structure.to_json,
        as_atoms,
        lambda x: x.to(fmt="cif"),
        lambda x: x.to(fmt="poscar"),
    ],
    ids=["dict", "json", "atoms", "cif", "poscar"],
)
def test_read_structures__every_kind_of_cell__gives_the_structures(
    cell, crystals, tmp_path
):
    rows = [{"id": i, "atoms": cell(x), "y": float(i)} for i, x in enumerate(crystals)]
    found = read_structures(write(tmp_path / "t.json", rows), target_columns="y")
    assert same(found.data, crystals)
    assert found.target.tolist() == [0, 1, 2, 3, 4]
    assert found.frame.columns.tolist() == ["structure", "id", "atoms", "y"]
    assert found.groups[0] == crystals[0].composition.chemical_system


def test_read_structures__three_columns__are_the_structure(crystals, tmp_path):
    rows = [{**as_arrays(x), "y": 1.5} for x in crystals]
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    X, y = read_structures(path, target_columns="y", return_X_y=True)
    assert same(X, crystals)
    assert y.tolist() == [1.5] * 5


def test_read_structures__file_of_matbench__is_read(crystals, tmp_path):
    frame = pd.DataFrame({"structure": crystals, "gap": np.arange(5.0)})
    content = json.loads(frame.to_json(orient="split", default_handler=lambda x: None))
    content["data"] = [[x.as_dict(), float(i)] for i, x in enumerate(crystals)]
    found = read_structures(write(tmp_path / "m.json", content), target_columns="gap")
    assert same(found.data, crystals)
    assert found.target.tolist() == [0, 1, 2, 3, 4]


def test_read_structures__csv__holds_texts_or_names_of_files(crystals, tmp_path):
    (tmp_path / "b.vasp").write_text(crystals[1].to(fmt="poscar"))
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["where", "y"])
        writer.writerow([crystals[0].to(fmt="cif"), 1])
        writer.writerow(["b", ""])
    with pytest.raises(InvalidValueError, match=r"line \d+: y is missing"):
        read_structures(path, structure_column="where", target_columns="y")
    found = read_structures(path, structure_column="where")
    assert same(found.data, crystals[:2])
    assert found.target is None


def test_read_structures__partial_occupancies__are_kept(tmp_path):
    alloy = Structure(Lattice.cubic(3), [{"Cu": 0.25, "Au": 0.75}], [[0, 0, 0]])
    path = write(tmp_path / "t.json", [{"structure": alloy.as_dict()}])
    assert read_structures(path).data[0].composition == alloy.composition


def test_read_structures__code_in_a_file__is_not_imported(crystals, tmp_path):
    content = crystals[0].as_dict()
    content["sites"][0]["properties"] = {
        "x": {"@module": "no_such_module", "@class": "Bomb"}
    }
    content["@module"], content["@class"] = "no_such_module", "Bomb"
    path = write(tmp_path / "t.json", [{"structure": content}])
    assert same(read_structures(path).data, crystals[:1])


def test_read_structures__bad_cells__are_listed_with_their_places(crystals, tmp_path):
    flat = as_atoms(crystals[0])
    flat["lattice_mat"] = [[1, 0, 0], [2, 0, 0], [0, 0, 1]]
    short = crystals[0].as_dict()
    del short["sites"][0]["abc"]
    cells = [crystals[0].as_dict(), 3.5, "{broken", flat, short, "../up.cif"]
    path = write(tmp_path / "t.json", [{"structure": cell} for cell in cells])
    with pytest.raises(InvalidValueError) as caught:
        read_structures(path)
    text = str(caught.value)
    assert "5 problems" in text
    assert "record 1" not in text
    assert "record 2: cannot read the structure: expected the text or the name" in text
    assert "record 3: cannot read the structure: it is no valid JSON" in text
    assert "record 4: cannot read the structure: the cell has no volume" in text
    assert "record 5: cannot read the structure: it is not as pymatgen" in text
    assert "record 6: cannot read the structure: there is no structure file" in text


def test_read_structures__wrong_columns__are_refused(crystals, tmp_path):
    path = write(tmp_path / "t.json", [{"cell": x.as_dict()} for x in crystals])
    with pytest.raises(InvalidValueError, match="no column of structures; looked for"):
        read_structures(path)
    with pytest.raises(InvalidValueError, match="no column 'structure'"):
        read_structures(path, structure_column="structure")
    with pytest.raises(InvalidValueError, match="both the structure and a target"):
        read_structures(path, structure_column="cell", target_columns="cell")
    with pytest.raises(InvalidTypeError, match="structure_column must be a str"):
        read_structures(path, structure_column=0)
    ragged = {"columns": ["structure", "y"], "data": [[1, 2], [3]]}
    with pytest.raises(InvalidValueError, match="record 2: expected 2 cells"):
        read_structures(write(tmp_path / "r.json", ragged))


def test_read_structures__real_table__has_its_rows():
    if not PHONONS.exists():
        pytest.skip(f"the data set {PHONONS.name} is not here")
    found = read_structures(PHONONS, target_columns="last_phdos_peak", n_jobs=1)
    assert len(found.data) == 1265
    assert found.target.mean() == pytest.approx(found.frame["last_phdos_peak"].mean())
    assert found.target.max() > 3000


def test_read_structures__folder__gives_its_files_by_name(crystals, tmp_path):
    crystals[0].to(filename=str(tmp_path / "b.cif"))
    crystals[1].to(filename=str(tmp_path / "POSCAR-a"), fmt="poscar")
    (tmp_path / "notes.txt").write_text("no structure")
    found = read_structures(tmp_path)
    assert list(found.frame["file"]) == ["POSCAR-a", "b.cif"]
    assert same(found.data, [crystals[1], crystals[0]])
    assert found.target is None
    assert same(read_structures(tmp_path / "b.cif").data, [crystals[0]])


def test_read_structures__bad_file_of_a_folder__is_named(crystals, tmp_path):
    crystals[0].to(filename=str(tmp_path / "a.cif"))
    (tmp_path / "b.cif").write_text("data_b\n")
    with pytest.raises(InvalidValueError, match=r"1 problem in .*\n  b\.cif: cannot"):
        read_structures(tmp_path)


def test_read_structures__folder_and_targets__names_load_id_prop(tmp_path):
    with pytest.raises(InvalidValueError, match="read by load_id_prop"):
        read_structures(tmp_path, target_columns="gap")
    with pytest.raises(InvalidValueError, match=r"no structure files; .*\*\.cif"):
        read_structures(tmp_path)


def test_structures__pymatgen_json_of_a_slab__keep_its_boundaries(tmp_path):
    slab = Structure(
        Lattice(np.diag([3.0, 3.0, 6.0]), pbc=(True, True, False)),
        ["Si", "C"],
        [[0, 0, 0], [0.5, 0.5, 0.25]],
    )
    path = tmp_path / "slab.json"
    path.write_text(json.dumps([{"structure": slab.as_dict()}]))
    (found,) = read_structures(path).data
    assert found.lattice.pbc == (True, True, False)
    content = slab.as_dict()
    content["lattice"]["pbc"] = [True, 1]
    path.write_text(json.dumps([{"structure": content}]))
    with pytest.raises(InvalidValueError, match=r"pbc must be three of true and false"):
        read_structures(path)


def test_structures__two_charges_of_one_element_on_a_site__are_added_up(tmp_path):
    iron = {Species("Fe", 2): 0.5, Species("Fe", 3): 0.5}
    oxide = Structure(Lattice.cubic(4), [iron, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    path = write(tmp_path / "t.json", [{"structure": oxide.as_dict()}])
    found = read_structures(path)
    assert found.data[0].formula == "Fe1 O1"


def test_structures__target_named_as_the_structures_will_be__is_to_be_renamed(
    tmp_path, crystals
):
    rows = [{"cell": x.as_dict(), "structure": 1.0} for x in crystals]
    path = write(tmp_path / "t.json", rows)
    with pytest.raises(InvalidValueError, match=r"'structure'.* in 'cell'. Rename it"):
        read_structures(path, structure_column="cell", target_columns="structure")
