"""Folders of structures with an id_prop table."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_val_score

from skmatgnn.datasets import load_id_prop, make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
CSCL = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
TITANATE = make_crystals(
    1, prototypes=["perovskite"], elements=["Sr", "Ti", "O"], random_state=0
).data[0]


@pytest.fixture
def folder(tmp_path):
    """Three structures in the three spellings of file names."""
    (tmp_path / "a.cif").write_text(SALT.to(fmt="cif"))
    (tmp_path / "POSCAR-b.vasp").write_text(CSCL.to(fmt="poscar"))
    (tmp_path / "c").write_text(TITANATE.to(fmt="poscar"))
    return tmp_path


def write(folder, text):
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "id_prop.csv").write_bytes(data)
    return folder


def atoms_of(structure, *, cartesian):
    coords = structure.cart_coords if cartesian else structure.frac_coords
    return {
        "lattice_mat": structure.lattice.matrix.tolist(),
        "coords": coords.tolist(),
        "elements": [site.specie.symbol for site in structure],
        "cartesian": cartesian,
    }


def test_id_prop__every_spelling_of_the_file__gives_its_structure(folder):
    (folder / "d.vasp").write_text(CSCL.to(fmt="poscar"))
    (folder / "e.poscar").write_text(SALT.to(fmt="poscar"))
    text = "a,1\nb,2\nc,3\nPOSCAR-b.vasp,4\nd,5\na.cif,6\ne,7\n"
    bunch = load_id_prop(write(folder, text))
    expected = [SALT, CSCL, TITANATE, CSCL, CSCL, SALT, SALT]
    for found, structure in zip(bunch.data, expected, strict=True):
        assert found.matches(structure, scale=False)
        assert found.volume == pytest.approx(structure.volume, rel=1e-5)
        assert len(found) == len(structure)
    assert bunch.target.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert bunch.ids.tolist() == ["a", "b", "c", "POSCAR-b.vasp", "d", "a.cif", "e"]
    assert bunch.groups.tolist()[:3] == ["Cl-Na", "Cl-Cs", "O-Sr-Ti"]
    assert bunch.target_names == ["target"]
    assert bunch.frame is None


def test_id_prop__several_targets__unknown_is_nan(folder):
    bunch = load_id_prop(write(folder, "a,1,\nb,nan,4\nc,NA,6\n"))
    np.testing.assert_array_equal(bunch.target, [[1, np.nan], [np.nan, 4], [np.nan, 6]])
    assert bunch.target_names == ["target_0", "target_1"]


def test_id_prop__header__names_the_targets(folder):
    write(folder, "\ufeffid,gap,energy\r\n\r\na, 1.5 ,-2\r\nc,3,1e-1\r\n")
    bunch = load_id_prop(folder, as_frame=True)
    assert bunch.target_names == ["gap", "energy"]
    assert bunch.frame.columns.tolist() == ["id", "structure", "gap", "energy"]
    assert bunch.target["energy"].tolist() == [-2.0, 0.1]
    assert bunch.data.columns.tolist() == ["structure"]
    only = load_id_prop(folder, target_columns="energy")
    assert only.target.tolist() == [-2.0, 0.1]
    both = load_id_prop(folder, target_columns=[1, "gap"])
    assert both.target.tolist() == [[-2.0, 1.5], [0.1, 3.0]]


def test_id_prop__column_not_asked_for__may_hold_anything(folder):
    write(folder, "id,gap,remark\na,1,good\nb,2,\n")
    assert load_id_prop(folder, target_columns="gap").target.tolist() == [1, 2]


def test_id_prop__first_target_not_numeric__is_an_error_not_a_header(folder):
    with pytest.raises(
        InvalidValueError, match=r"line 1: target must be a finite.*'x'"
    ):
        load_id_prop(write(folder, "a,x\nb,2\n"))


def test_id_prop__target_called_structure__does_not_hide_the_structures(folder):
    bunch = load_id_prop(write(folder, "id,structure,id\na,1,2\n"), as_frame=True)
    assert bunch.data.iloc[0, 0].matches(SALT)
    assert bunch.target.to_numpy().tolist() == [[1, 2]]


def test_id_prop__return_x_y__goes_into_cross_validation(folder):
    X, y = load_id_prop(write(folder, "a,1\nb,2\nc,3\n"), return_X_y=True)
    assert X.shape == (3,)
    scores = cross_val_score(
        DummyRegressor(), X, y, cv=3, scoring="neg_mean_absolute_error"
    )
    np.testing.assert_allclose(scores, [-1.5, 0, -1.5])


def test_id_prop__two_processes_and_progress__give_the_same(folder, capsys):
    write(folder, "a,1\nb,2\nc,3\n")
    serial = load_id_prop(folder)
    parallel = load_id_prop(folder, n_jobs=2, verbose=True)
    assert list(serial.data) == list(parallel.data)
    assert "3/3" in capsys.readouterr().err


def test_id_prop__all_table_problems__are_reported_together(folder):
    text = "a,1\nb,x\na,2\nnone,3\n,4\nc,\nq1,1\nq2,1\n"
    with pytest.raises(InvalidValueError) as caught:
        load_id_prop(write(folder, text))
    message = str(caught.value)
    assert "7 problems in" in message
    assert "line 2: target must be a finite number; got str ('x')" in message
    assert "line 3: the identifier 'a' occurs already at line 1" in message
    assert "line 4: no structure file for 'none'" in message
    assert "line 5: the identifier is empty" in message
    assert "line 6: target is missing" in message
    assert "line 7" not in message


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no rows of data"),
        ("\n\n", "no rows of data"),
        ("id,target\n", "no rows of data"),
        ("a\nb\n", "line 1: expected an identifier and at least one target"),
        ("a;1\nb;2\n", "line 1: expected an identifier.*got 'a;1'"),
        ("a,1\nb,1,2\nc\n", "(?s)2 problems.*line 2: expected 2 cells; got 3.*line 3"),
        ("id,x,y\na,1\n", "line 2: expected 3 cells; got 2"),
        ("a,inf\n", "line 1: target must be a finite"),
        ("a,1\nb,-Infinity\n", "line 2: target must be a finite"),
        (b"a,1\n\xff\xfe,2\n", "not UTF-8"),
        ("../a.cif,1\n", "line 1: no structure file"),
        ("/etc/passwd,1\n", "line 1: no structure file"),
        ("a\0b,1\n", "no structure file|no valid CSV"),
        ("x" * 5000 + ",1\n", "line 1: no structure file"),
    ],
)
def test_id_prop__bad_table__says_what_and_where(folder, text, match):
    with pytest.raises(InvalidValueError, match=match):
        load_id_prop(write(folder, text))


BAD_FILES = {
    "empty.cif": ("  \n", "the file is empty"),
    "garbage.cif": ("hello", "Invalid CIF"),
    "cut.cif": (SALT.to(fmt="cif")[:250], "No structure parsed"),
    "element.cif": (SALT.to(fmt="cif").replace("Na", "Xx"), "'Xx' is no element"),
    "cell.cif": (SALT.to(fmt="cif").replace("a   5.64", "a   ?"), "could not convert"),
    "two.cif": (
        SALT.to(fmt="cif") + CSCL.to(fmt="cif"),
        "holds 2 structures; one was expected",
    ),
    "occupancy.cif": (
        SALT.to(fmt="cif") + SALT.to(fmt="cif").splitlines()[-1] + "\n",
        "Occupancy 2.0 exceeded",
    ),
    "text.vasp": ("a\nb\nc\n", "POSCAR|could not convert"),
    "cut.vasp": ("\n".join(SALT.to(fmt="poscar").splitlines()[:9]), "incomplete"),
    "nameless.vasp": (
        "comment\n1.0\n3 0 0\n0 3 0\n0 0 3\n1 1\ndirect\n0 0 0\n.5 .5 .5\n",
        "Elements in POSCAR cannot be determined",
    ),
    "binary.vasp": ("\0\1\2", "POSCAR|could not convert|incomplete"),
}


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_id_prop__unusable_file__is_named_with_line_and_cause(folder, name):
    text, cause = BAD_FILES[name]
    (folder / name).write_text(text)
    with pytest.raises(
        InvalidValueError, match=f"line 2: cannot read {name}: .*({cause})"
    ):
        load_id_prop(write(folder, f"a,1\n{name},2\nb,3\n"))


def test_id_prop__many_unusable_files__are_counted(folder):
    for name, (text, _) in BAD_FILES.items():
        (folder / name).write_text(text)
    rows = "".join(f"{name},1\n" for name in BAD_FILES)
    with pytest.raises(InvalidValueError, match=f"{len(BAD_FILES)} problems.*first 5"):
        load_id_prop(write(folder, "a,0\n" + rows))


def test_id_prop__harmless_rounding__is_silent_and_corrections_are_not(folder):
    zinc = Structure(
        Lattice.hexagonal(3, 5), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]]
    )
    rounded = zinc.to(fmt="cif").replace("0.33333333", "0.3333")
    (folder / "zno.cif").write_text(rounded.replace("0.66666667", "0.6667"))
    assert load_id_prop(write(folder, "zno,1\n")).data[0].matches(zinc)
    wrong = SALT.to(fmt="cif").replace("Na4 Cl4", "Na4 Cl2")
    (folder / "wrong.cif").write_text(wrong)
    with pytest.warns(UserWarning, match="1 of 2 .*\n  wrong.cif: Incorrect stoich"):
        load_id_prop(write(folder, "a,1\nwrong,2\n"))


@pytest.mark.parametrize("cartesian", [True, False])
def test_id_prop__json__is_read_where_there_is_no_csv(tmp_path, cartesian):
    records = [
        {"jid": "J-1", "atoms": atoms_of(SALT, cartesian=cartesian), "target": 1.5},
        {"jid": "J-2", "atoms": atoms_of(TITANATE, cartesian=cartesian), "target": 2},
    ]
    (tmp_path / "id_prop.json").write_text(json.dumps(records))
    bunch = load_id_prop(tmp_path)
    assert bunch.ids.tolist() == ["J-1", "J-2"]
    assert bunch.target.tolist() == [1.5, 2.0]
    for found, expected in zip(bunch.data, [SALT, TITANATE], strict=True):
        np.testing.assert_allclose(
            found.distance_matrix, expected.distance_matrix, atol=1e-9
        )
        assert found.composition == expected.composition


def test_id_prop__json_targets__come_by_key_or_as_a_list(tmp_path):
    atoms = atoms_of(CSCL, cartesian=False)
    records = [
        {"id": 1, "atoms": atoms, "gap": 1, "bulk": "na", "list": [1, 2, None]},
        {"id": 2, "atoms": atoms, "gap": 2, "bulk": 9.0, "list": [4, 5, 6]},
    ]
    (tmp_path / "id_prop.json").write_text(json.dumps(records))
    assert load_id_prop(tmp_path, target_columns="gap").target.tolist() == [1, 2]
    both = load_id_prop(tmp_path, target_columns=["bulk", "gap"])
    np.testing.assert_array_equal(both.target, [[np.nan, 1], [9, 2]])
    several = load_id_prop(tmp_path, target_columns="list")
    np.testing.assert_array_equal(several.target, [[1, 2, np.nan], [4, 5, 6]])
    assert several.target_names == ["list_0", "list_1", "list_2"]
    with pytest.raises(
        InvalidValueError, match=r"(?s)record 1: no key 'target'.*'gap'"
    ):
        load_id_prop(tmp_path)
    with pytest.raises(InvalidValueError, match="must be keys"):
        load_id_prop(tmp_path, target_columns=0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"jid": "J-1"}, "record 2: the identifier 'J-1' occurs already at record 1"),
        ({"target": "x"}, "record 2: target must be a finite number"),
        ({"target": None}, "record 2: target is missing"),
        ({"target": [1, 2]}, r"lengths \[1, 2\]"),
        ({"atoms": None}, "record 2: cannot use the atoms of 'J-2': atoms must be"),
        ({"coords": [[0, 0, 0]]}, r"atoms.coords must have the shape \(2, 3\)"),
        ({"coords": [[0, 0, 0], [0, "x", 0]]}, "atoms.coords is not numeric"),
        ({"lattice_mat": [[0, 0, 0]] * 3}, "cell has no volume"),
        ({"lattice_mat": [[1, 0], [0, 1]]}, "atoms.lattice_mat must have the shape"),
        ({"elements": ["Cs", "Xx"]}, "'Xx' is no element symbol"),
        ({"elements": []}, "list of symbols"),
        ({"cartesian": 1}, "cartesian must be true or false"),
        ({"lattice_mat": [[np.nan] * 3] * 3}, "not finite"),
    ],
)
def test_id_prop__bad_record__says_what_and_where(tmp_path, change, match):
    records = [
        {"jid": f"J-{i}", "atoms": atoms_of(CSCL, cartesian=False), "target": i}
        for i in (1, 2, 3)
    ]
    for key, value in change.items():
        (records[1] if key in records[1] else records[1]["atoms"])[key] = value
    (tmp_path / "id_prop.json").write_text(json.dumps(records))
    with pytest.raises(InvalidValueError, match=match):
        load_id_prop(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", "3", "[1, null]", "[", '[{"jid": 1}]'])
def test_id_prop__json_of_another_kind__is_our_error(tmp_path, text):
    (tmp_path / "id_prop.json").write_text(text)
    with pytest.raises(InvalidValueError, match=r"id_prop.json"):
        load_id_prop(tmp_path)


def test_id_prop__csv_and_json__csv_is_used(folder):
    (folder / "id_prop.json").write_text("[")
    assert load_id_prop(write(folder, "a,1\n")).ids.tolist() == ["a"]


@pytest.mark.parametrize(
    ("columns", "error", "match"),
    [
        ("gap", InvalidValueError, r"no target column 'gap'.*\['target'\]"),
        (1, InvalidValueError, "positions 0 to 0"),
        (-1, InvalidValueError, "no target column -1"),
        ([], InvalidValueError, "at least one"),
        ([0, 0], InvalidValueError, "none twice"),
        ([0, "target"], InvalidValueError, "by name and by position"),
        (1.5, InvalidTypeError, "target_columns must be"),
        ([True], InvalidTypeError, "names or positions"),
    ],
)
def test_id_prop__bad_target_columns__are_named(folder, columns, error, match):
    with pytest.raises(error, match=match):
        load_id_prop(write(folder, "a,1\n"), target_columns=columns)


def test_id_prop__no_folder_or_table__is_explained(tmp_path):
    with pytest.raises(
        InvalidValueError, match=r"neither id_prop.csv nor id_prop.json"
    ):
        load_id_prop(tmp_path)
    with pytest.raises(InvalidValueError, match="does not exist"):
        load_id_prop(tmp_path / "nowhere")
    with pytest.raises(InvalidValueError, match="does not exist"):
        load_id_prop("a\0b")
    with pytest.raises(InvalidTypeError, match="folder must be a str or a path"):
        load_id_prop(None)


ids = st.sampled_from(["a", "b", "c", "a.cif", "POSCAR-b.vasp", "broken", "id"])
cells = st.sampled_from(["1", "-2.5e3", "", "nan", "NA", "inf", "x", '"', "1,2", "é"])
lines = st.one_of(
    st.builds(lambda name, values: ",".join([name, *values]), ids, st.lists(cells)),
    st.text(max_size=12),
    st.binary(max_size=8).map(lambda data: data.decode("latin-1")),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(lines, max_size=5),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16"]),
)
def test_id_prop__any_table__gives_a_bunch_or_our_error(
    folder, rows, newline, encoding
):
    (folder / "broken.cif").write_text("data_x\n_cell_length_a 3\n")
    write(folder, newline.join(rows).encode(encoding, errors="replace"))
    try:
        bunch = load_id_prop(folder)
    except (InvalidValueError, InvalidTypeError) as error:
        assert "id_prop.csv" in str(error)  # noqa: PT017
        return
    assert len(bunch.data) == len(bunch.target) == len(set(bunch.ids)) >= 1
    assert all(isinstance(structure, Structure) for structure in bunch.data)
    assert not np.isinf(bunch.target).any()
    if bunch.target.ndim == 1:
        assert not np.isnan(bunch.target).any()


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_id_prop__damaged_structure_file__gives_a_bunch_or_our_error(folder, data):
    kind = data.draw(st.sampled_from(["cif", "poscar"]))
    text = SALT.to(fmt=kind)
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 60))
    insert = data.draw(st.text(max_size=6))
    damaged = text[:start] + insert + text[start + length :]
    name = "z.cif" if kind == "cif" else "z.vasp"
    (folder / name).write_bytes(damaged.encode("utf-8", errors="replace"))
    write(folder, f"{name},1\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = load_id_prop(folder).data[0]
        except InvalidValueError as error:
            assert name in str(error)  # noqa: PT017
            return
    assert len(structure) >= 1
    assert structure.volume > 0
    assert all("pymatgen had remarks" in str(remark.message) for remark in caught)
