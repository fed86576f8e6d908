import json

import numpy as np
import pytest

from skmatgnn.cli import main
from skmatgnn.datasets import load_id_prop, make_crystals

ALKALI = ["Li", "Na", "K", "Rb", "Cs"]
METALS = ["Fe", "Co", "Ni", "Mn", "Ti", "Al"]


@pytest.fixture
def oxides(tmp_path):
    """A table of 30 oxides, two rows each, whose gap follows from the elements."""
    lines = ["name,formula,gap,volume,host"]
    for i, a in enumerate(ALKALI):
        for j, m in enumerate(METALS):
            formula = f"{a}{m}O2"
            for copy in (0, 1):
                gap = 1.0 + i + 0.3 * j + 0.01 * copy
                lines.append(f"{a}-{m},{formula},{gap:.2f},{20 + 3 * i - j},{formula}")
    path = tmp_path / "oxides.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def crystal_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crystals")
    crystals, volumes = make_crystals(24, random_state=0, return_X_y=True)
    rows = ["id,volume"]
    for index, (crystal, volume) in enumerate(zip(crystals, volumes, strict=True)):
        crystal.to(filename=str(folder / f"c{index}.cif"))
        rows.append(f"c{index},{volume}")
    (folder / "id_prop.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def crystal_table(crystal_folder):
    """The crystals of the folder as JSON, with a further property of every second."""
    crystals = load_id_prop(crystal_folder)
    rows = [
        {
            "structure": crystal.as_dict(),
            "volume": volume,
            "density": crystal.density if index % 2 else None,
        }
        for index, (crystal, volume) in enumerate(
            zip(crystals.data, crystals.target.tolist(), strict=True)
        )
    ]
    path = crystal_folder.with_name("crystals.json")
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a command that must fail with one message and change nothing."""

    def run(*arguments):
        before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
        code = main([*map(str, arguments), "--quiet"])
        captured = capsys.readouterr()
        assert code == 2
        assert captured.out == ""
        assert captured.err.count("skmatgnn: error: ") == 1
        assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
        return captured.err

    return run


@pytest.fixture
def edited(oxides):
    """Write a copy of the table with some lines (counted from 1) replaced."""

    def edit(**replacements):
        lines = oxides.read_text().splitlines()
        for key, text in replacements.items():
            lines[int(key.removeprefix("line")) - 1] = text
        path = oxides.with_name("edited.csv")
        path.write_text("\n".join(lines) + "\n")
        return path

    return edit


@pytest.fixture
def rng():
    return np.random.default_rng(0)
