"""Datasets of the network, from a server of this machine with small files."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from skmatgnn.datasets import (
    _fetch_matminer,
    _fetch_transfer,
    _remote,
    clear_data_home,
    fetch_jarvis,
    fetch_matbench,
    fetch_matminer,
    fetch_transfer_study,
    get_data_home,
    make_crystals,
)
from skmatgnn.datasets._base import find_resource
from skmatgnn.datasets._remote import RemoteFile
from skmatgnn.errors import DownloadError, InvalidTypeError, InvalidValueError

SHARED = (Path(__file__).parents[2] / "../shared/data").resolve()
CRYSTALS, VALUES = make_crystals(12, random_state=0, return_X_y=True)
DICTS = [crystal.as_dict() for crystal in CRYSTALS]
ATOMS = [
    {
        "lattice_mat": crystal.lattice.matrix.tolist(),
        "coords": crystal.frac_coords.tolist(),
        "elements": [site.specie.symbol for site in crystal],
        "cartesian": False,
    }
    for crystal in CRYSTALS
]


def split(columns):
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    table = {"index": list(range(len(rows))), "columns": list(columns), "data": rows}
    return gzip.compress(json.dumps(table).encode(), mtime=0)


def zipped(records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("records.json", json.dumps(records))
    return buffer.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SKMATGNN_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def serve(site, home, monkeypatch):
    """Put a small file where the catalogue has a large one."""
    real = _remote.catalogue()
    small = {family: {} for family in real}
    monkeypatch.setattr(_remote, "catalogue", lambda: small)
    monkeypatch.setenv("SKMATGNN_MIRROR", site.url)

    def add(family, name, content, rows=None):
        known = real[family][name]
        digest = sha256(content).hexdigest() if known.sha256 else None
        small[family][name] = RemoteFile(
            name, family, known.url, known.file, digest, None, rows, known.facts
        )
        site.files[known.file] = content
        return home / family / known.file

    return add


@pytest.fixture
def phonons(serve):
    table = {"structure": DICTS, "last phdos peak": VALUES.tolist()}
    return serve("matminer", "matbench_phonons", split(table), rows=12)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.composition == theirs.composition
        np.testing.assert_allclose(ours.lattice.matrix, theirs.lattice.matrix)
        np.testing.assert_allclose(ours.frac_coords, theirs.frac_coords, atol=1e-9)


def test_catalogue__matminer_files__are_those_that_matminer_lists():
    path = find_resource("matminer", ("datasets/dataset_metadata.json",))
    listed = json.loads(path.read_text(encoding="utf-8"))
    ours = _remote.catalogue()["matminer"]
    assert len(ours) == 45
    assert set(ours) == set(listed)
    for name, remote in ours.items():
        theirs = listed[name]
        found = (remote.url, remote.sha256, remote.rows)
        assert found == (theirs["url"], theirs["hash"], theirs["num_entries"])
        assert remote.file == f"{name}.{theirs['file_type']}"


def test_catalogue__addresses_and_checksums__are_well_formed():
    files = [f for family in _remote.catalogue().values() for f in family.values()]
    assert len({remote.url for remote in files}) == len(files)
    assert len({(remote.family, remote.file) for remote in files}) == len(files)
    for remote in files:
        assert remote.url.startswith("https://")
        assert remote.sha256 is None or len(bytes.fromhex(remote.sha256)) == 32
        assert Path(remote.file).name == remote.file


def test_matbench__first_and_second_call__download_once(phonons, site, home):
    bunch = fetch_matbench("phonons")
    assert_same(bunch.data, CRYSTALS)
    np.testing.assert_array_equal(bunch.target, VALUES)
    assert bunch.target_names == ["last phdos peak"]
    assert bunch.units == {"last phdos peak": "1 / cm"}
    assert bunch.groups[0] == CRYSTALS[0].composition.chemical_system
    assert sorted(set(bunch.folds.tolist())) == [0, 1, 2, 3, 4]
    assert bunch.path == phonons
    assert bunch.sha256 == sha256(phonons.read_bytes()).hexdigest()
    assert bunch.url.startswith("https://ml.materialsproject.org/")
    assert "Petretto" in bunch.citation
    assert "CC BY 4.0" in bunch.licence
    for part in ("matbench_phonons", "Rows: 12", "last phdos peak:", bunch.url):
        assert part in bunch.DESCR
    assert max(map(len, bunch.DESCR.split("\n"))) <= 100
    X, y = fetch_matbench("matbench_phonons", return_X_y=True, n_jobs=2)
    assert_same(X, CRYSTALS)
    np.testing.assert_array_equal(y, VALUES)
    assert len(site.requests) == 1


def test_matbench__as_frame__is_pandas(phonons):
    bunch = fetch_matbench("phonons", as_frame=True)
    assert list(bunch.data.columns) == ["structure"]
    assert bunch.target.tolist() == VALUES.tolist()
    assert set(bunch.frame.columns) == {"structure", "last phdos peak"}


@pytest.mark.parametrize("kind", [bool, int])
def test_matbench__classes_of_formulas__are_bool(serve, kind):
    formulas = ["NaCl", "Al2O3", "Fe0.62Mn0.38", "Cu", "Ag(AuS)2"] * 4
    metal = [False, False, True, True, False] * 4
    values = [kind(value) for value in metal]
    table = {"composition": formulas, "is_metal": values}
    serve("matminer", "matbench_expt_is_metal", split(table), rows=20)
    bunch = fetch_matbench("expt_is_metal")
    assert bunch.data.tolist() == formulas
    assert bunch.target.dtype == bool
    assert bunch.target.tolist() == metal
    assert bunch.groups[4] == Composition("Ag(AuS)2").reduced_formula
    for fold in range(5):  # stratified
        chosen = bunch.target[bunch.folds == fold]
        assert len(chosen) == 4
        assert 1 <= chosen.sum() <= 2
    frame = fetch_matbench("expt_is_metal", as_frame=True)
    assert frame.target.dtype == bool
    assert frame.frame.is_metal.tolist() == metal


@pytest.mark.parametrize(
    ("file", "column", "read"),
    [
        ("phonons.json.gz", "last_phdos_peak", pd.read_json),
        ("expt_gap.csv.gz", "gap_expt", pd.read_csv),
    ],
)
def test_matbench__folds__are_the_published_ones(file, column, read):
    if not (SHARED / file).is_file():
        pytest.skip("needs the shared data, which are no part of the project")
    table = read(SHARED / file)
    folds = _fetch_matminer._folds(table[column].to_numpy())
    np.testing.assert_array_equal(folds, table["fold"])


def test_matminer__mixed_columns__keeps_what_is_plain(serve):
    table = {
        "material_id": [f"mp-{i}" for i in range(12)],
        "structure": DICTS,
        "structure initial": DICTS,
        "eij_max": [*VALUES[:11].tolist(), None],
        "e_total": [[[1, 0], [0, 1]]] * 12,
        "nsites": [len(crystal) for crystal in CRYSTALS],
        "cif": ["data_x"] * 12,
    }
    serve("matminer", "piezoelectric_tensor", split(table), rows=12)
    bunch = fetch_matminer("piezoelectric_tensor")
    assert bunch.target is None
    assert list(bunch.frame.columns) == [
        "structure",
        "material_id",
        "eij_max",
        "nsites",
    ]
    assert bunch.frame.nsites.tolist() == table["nsites"]
    one = fetch_matminer("piezoelectric_tensor", target_columns="eij_max")
    np.testing.assert_array_equal(one.target, VALUES[:11])
    assert_same(one.data, CRYSTALS[:11])
    two = fetch_matminer("piezoelectric_tensor", target_columns=["eij_max", "nsites"])
    assert two.target.shape == (12, 2)
    assert np.isnan(two.target[11, 0])
    assert "Piezoelectric modulus" in one.DESCR
    with pytest.raises(InvalidValueError, match=r"no column 'eij'. Its columns are:"):
        fetch_matminer("piezoelectric_tensor", target_columns="eij")


def test_matminer__compositions_of_pymatgen__are_formulas(serve):
    content = {"@module": "pymatgen.core.composition", "@class": "Composition"}
    amounts = [{"Fe": 2.0, "O": 3}, {"Y": 1 / 3, "O": 1234567.0}]
    table = {"composition": [{**content, **each} for each in amounts], "Tc": [1.5, 2]}
    serve("matminer", "superconductivity2018", split(table))
    X, y = fetch_matminer("superconductivity2018", target_columns="Tc", return_X_y=True)
    assert y.tolist() == [1.5, 2.0]
    assert X.tolist() == ["Fe2O3", "Y0.3333333333333333O1234567"]


def test_matminer__objects_of_other_classes__are_not_made(serve):
    evil = {"@module": "os", "@class": "system", "lattice": 1, "sites": 2}
    table = {"structure": [evil, DICTS[0], "rows.cif"], "e_form": [1.0, 2.0, 3.0]}
    serve("matminer", "flla", split(table))
    with pytest.raises(
        InvalidValueError, match=r"(?s)2 problems.*row 0: cannot.*row 2: cannot"
    ):
        fetch_matminer("flla")


def test_matminer__other_number_of_rows__is_an_error(serve):
    serve("matminer", "flla", split({"structure": DICTS}), rows=13)
    with pytest.raises(InvalidValueError, match=r"12 rows, not 13. Delete it"):
        fetch_matminer("flla")


@pytest.mark.parametrize("content", [{"structure": []}, {"other": [1]}])
def test_matminer__no_rows_or_no_samples__is_an_error(serve, content):
    serve("matminer", "flla", split(content))
    with pytest.raises(InvalidValueError, match=r"no rows|none of the columns"):
        fetch_matminer("flla")


@pytest.mark.parametrize("fetch", [fetch_matbench, fetch_matminer, fetch_jarvis])
def test_fetch__unknown_name__lists_all_that_there_are(fetch, home):
    with pytest.raises(InvalidValueError, match=r"'nothing'. There are: \w+, \w+"):
        fetch("nothing")
    with pytest.raises(InvalidTypeError, match="name must be a str; got int"):
        fetch(3)


@pytest.fixture
def layers(serve):
    records = [
        {
            "jid": f"JVASP-{i}",
            "atoms": atoms,
            "optb88vdw_bandgap": float(VALUES[i]),
            "mbj_bandgap": "na" if i % 2 else i / 2,
            "elastic_tensor": [[1.0]],
        }
        for i, atoms in enumerate(ATOMS)
    ]
    return serve("jarvis", "dft_2d", zipped(records), rows=12)


def test_jarvis__zip_of_records__is_read(layers, site):
    bunch = fetch_jarvis("dft_2d", target_columns="optb88vdw_bandgap")
    assert_same(bunch.data, CRYSTALS)
    np.testing.assert_array_equal(bunch.target, VALUES)
    assert bunch.units == {"optb88vdw_bandgap": "eV"}
    assert bunch.frame.jid[3] == "JVASP-3"
    for part in ("CC BY 4.0", "Choudhary", "6815705"):
        assert part in bunch.DESCR
    known = fetch_jarvis("dft_2d", target_columns="mbj_bandgap")
    assert known.target.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert_same(known.data, CRYSTALS[::2])
    both = ["optb88vdw_bandgap", "mbj_bandgap"]
    table = fetch_jarvis("dft_2d", target_columns=both, as_frame=True).target
    assert table.mbj_bandgap.isna().sum() == 6
    assert len(site.requests) == 1


def test_pin__first_download__fixes_the_content(layers, site, home):
    fetch_jarvis("dft_2d")
    pin = layers.with_name(layers.name + ".sha256")
    digest = sha256(layers.read_bytes()).hexdigest()
    assert pin.read_text() == f"{digest}  {layers.name}\n"
    layers.unlink()
    fetch_jarvis("dft_2d")  # the same again
    layers.unlink()
    site.files[layers.name] = zipped([{"atoms": ATOMS[0]}])
    with pytest.raises(DownloadError, match=rf"SHA-256 .*delete {pin}"):
        fetch_jarvis("dft_2d")
    pin.unlink()
    with pytest.raises(InvalidValueError, match="1 rows, not 12"):
        fetch_jarvis("dft_2d")


def test_pin__file_put_there_by_hand__is_taken_and_fixed(layers, site, home):
    layers.parent.mkdir(parents=True)
    layers.write_bytes(site.files[layers.name])
    fetch_jarvis("dft_2d", download_if_missing=False)
    assert layers.with_name(layers.name + ".sha256").is_file()
    assert site.requests == []


def test_cache__damaged_file__is_downloaded_again_with_a_warning(phonons, site):
    fetch_matbench("phonons")
    phonons.write_bytes(phonons.read_bytes()[:-7])
    with pytest.warns(UserWarning, match=r"SHA-256 .*downloaded again") as caught:
        bunch = fetch_matbench("phonons")
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(bunch.target, VALUES)
    assert len(site.requests) == 2
    phonons.write_bytes(b"x")
    with pytest.raises(DownloadError, match=r"has the SHA-256 .*Delete it\."):
        fetch_matbench("phonons", download_if_missing=False)


def test_offline__error__says_what_to_get_and_where_to_put_it(
    phonons, site, monkeypatch
):
    site.close()
    digest = _remote.catalogue()["matminer"]["matbench_phonons"].sha256
    with pytest.raises(DownloadError) as caught:
        fetch_matbench("phonons", n_retries=1, delay=0.0)
    text = str(caught.value)
    for part in (f"{site.url}/matbench_phonons.json.gz", str(phonons), digest):
        assert part in text
    assert "after 2 attempts" in text
    monkeypatch.delenv("SKMATGNN_MIRROR")
    with pytest.raises(
        DownloadError, match=r"False.*https://ml.materials.* put it, as"
    ):
        fetch_matbench("phonons", download_if_missing=False)


def test_mirror__parameter__comes_before_the_variable(phonons, site, monkeypatch):
    monkeypatch.setenv("SKMATGNN_MIRROR", "https://nowhere.invalid")
    fetch_matbench("phonons", base_url=site.url + "/")
    assert site.requests == [("matbench_phonons.json.gz", None)]


@pytest.mark.parametrize("base", ["file:///etc", "ftp://x", "x.org"])
def test_mirror__no_web_address__is_rejected(phonons, base):
    with pytest.raises(InvalidValueError, match=r"base_url.*https://.*got str"):
        fetch_matbench("phonons", base_url=base)


def test_fetch__server_fails_and_recovers__result_is_whole(phonons, site, Reply):
    site.replies = [Reply(status=503), Reply(stop_after=500)]
    bunch = fetch_matbench("phonons", delay=0.0)
    np.testing.assert_array_equal(bunch.target, VALUES)
    assert [asked for _, asked in site.requests] == [None, None, "bytes=500-"]


def test_fetch__wrong_content__is_an_error_and_not_kept(phonons, site):
    site.files[phonons.name] = split({"structure": DICTS[:1]})
    with pytest.raises(DownloadError, match="it was changed or damaged"):
        fetch_matbench("phonons", delay=0.0)
    assert not phonons.exists()


def test_data_home__parameter_variable_and_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SKMATGNN_DATA", raising=False)
    assert get_data_home() == (tmp_path / "skmatgnn_data").resolve()
    monkeypatch.setenv("SKMATGNN_DATA", "~/there")
    assert get_data_home() == (tmp_path / "there").resolve()
    assert get_data_home(tmp_path / "here" / "deep").is_dir()
    with pytest.raises(InvalidTypeError, match="data_home must be"):
        get_data_home(3)


def test_clear_data_home__own_folders_only(phonons, home):
    fetch_matbench("phonons")
    (home / "mine.txt").write_text("mine")
    clear_data_home()
    assert [path.name for path in home.iterdir()] == ["mine.txt"]


STUDY = {
    "BG": ("matminer", "matbench_mp_gap", "structure", "gap pbe"),
    "FE": ("matminer", "matbench_mp_e_form", "structure", "e_form"),
    "GV": ("matminer", "matbench_log_gvrh", "structure", "log10(G_VRH)"),
    "PH": ("matminer", "matbench_phonons", "structure", "last phdos peak"),
    "DC": ("matminer", "dielectric_constant", "structure", "poly_total"),
    "PZ": ("matminer", "piezoelectric_tensor", "structure", "eij_max"),
    "2D": ("jarvis", "dft_2d", "atoms", "optb88vdw_bandgap"),
}


@pytest.mark.parametrize("name", STUDY)
def test_transfer_study__set__is_its_file_and_column(serve, name):
    family, file, data, column = STUDY[name]
    if family == "jarvis":
        pairs = zip(ATOMS, VALUES.tolist(), strict=True)
        content = zipped([{data: atoms, column: value} for atoms, value in pairs])
    else:
        content = split({data: DICTS, column: VALUES.tolist()})
        listed = _fetch_matminer._metadata(file)["columns"]
        assert {data, column} <= set(listed)
    serve(family, file, content, rows=12)
    bunch = fetch_transfer_study(name)
    assert_same(bunch.data, CRYSTALS)
    np.testing.assert_array_equal(bunch.target, VALUES)
    assert bunch.abbreviation == name
    assert f"Set {name} of the transfer study" in bunch.DESCR
    assert "2406.13142" in bunch.DESCR
    X, y = fetch_transfer_study(_fetch_transfer._SETS[name].property, return_X_y=True)
    assert_same(X, CRYSTALS)
    np.testing.assert_array_equal(y, VALUES)


def test_transfer_study__measured_gaps__get_the_structures_of_their_entries(serve):
    gaps = {
        "formula": ["A", "B", "C", "D"],
        "expt_gap": [1.0, 2.0, None, 4.0],
        "likely_mpid": ["mp-3", None, "mp-1", "mp-7"],
    }
    entries = {
        "mpid": [f"mp-{i}" for i in range(5)],
        "structure": DICTS[:5],
        "initial structure": DICTS[5:10],
    }
    serve("matminer", "expt_gap_kingsbury", split(gaps), rows=4)
    serve("matminer", "mp_all_20181018", split(entries), rows=5)
    bunch = fetch_transfer_study("EBG")
    assert_same(bunch.data, [CRYSTALS[3]])
    assert bunch.target.tolist() == [1.0]
    assert bunch.frame.likely_mpid.tolist() == ["mp-3"]
    assert bunch.groups.tolist() == [CRYSTALS[3].composition.chemical_system]


def test_transfer_study__every_set__is_in_the_catalogue_and_wrong_ones_are_named(home):
    for found in _fetch_transfer._SETS.values():
        assert found.file in _remote.catalogue()[found.family]
    with pytest.raises(InvalidValueError, match=r"'XX'. There are: BG \(band_gap\)"):
        fetch_transfer_study("XX")
    with pytest.raises(InvalidTypeError, match="name must be a str; got None"):
        fetch_transfer_study(None)


def test_home__variable__is_not_made_by_import(home):
    assert not home.exists()
    assert os.environ["SKMATGNN_DATA"] == str(home)
