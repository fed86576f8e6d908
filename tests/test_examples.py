"""The examples run as they stand, each in a process of its own."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Where sphinx-build has made the site it has run all examples, and failed at any that
# raised; then they are not run again.
SITE = os.environ.get("SKMATGNN_SITE")
MOST_SECONDS, N_CORES = 60, 2
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))

# As a user runs it, and then: did it draw, and can every figure be rendered?
RUNNER = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
import matplotlib.pyplot as plt
numbers = plt.get_fignums()
for number in numbers:
    plt.figure(number).savefig(f"{sys.argv[2]}/{number}.png")
sys.exit(0 if numbers else "no figure was drawn")
"""


@pytest.mark.skipif(SITE is not None, reason="the build of the site ran the examples")
@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example__in_a_fresh_process__succeeds_and_draws(path, tmp_path):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": "default",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", RUNNER, str(path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    # plt.show() says that Agg shows nothing; everything else would be the example's.
    warned = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert [line for line in warned if "non-interactive" not in line] == []
    assert list(tmp_path.glob("*.png"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < MOST_SECONDS * N_CORES


@pytest.mark.skipif(SITE is None, reason="SKMATGNN_SITE names no site")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example__on_the_site__has_a_figure_and_warns_of_nothing(path):
    folder = path.parent.relative_to(ROOT / "examples")
    page = Path(SITE) / "gallery" / folder / f"{path.stem}.html"
    text = page.read_text(encoding="utf-8")
    assert re.search(rf"_images/sphx_glr_{path.stem}_\d+\.png", text)
    assert "Warning" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example__as_a_gallery_page__has_a_title_and_what_was_learnt(path):
    source = path.read_text(encoding="utf-8")
    over, title, under = source.splitlines()[1:4]
    assert title.strip()
    assert over == under == "=" * len(over)
    assert len(over) >= len(title)
    assert "# What was learnt" in source
    assert (path.parent / "README.rst").is_file()


def test_examples__of_the_quickstart__are_found():
    names = {path.stem for path in EXAMPLES}
    assert {"plot_quickstart_composition", "plot_quickstart_structures"} <= names
