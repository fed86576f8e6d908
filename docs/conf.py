"""The documentation: ``sphinx-build -W --keep-going -b html docs docs/_build/html``.

Nothing is downloaded. The pages of the API reference and of the gallery are made during
the build; ``-D plot_gallery=0`` leaves the examples unexecuted.
"""

import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the examples run side by side
os.environ["MPLBACKEND"] = "Agg"

from _reference import write_reference

import skmatgnn

project = "skmatgnn"
author = "the skmatgnn developers"
copyright = author
version = release = skmatgnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst", "**/README.rst"]
templates_path = []
autosummary_generate = False  # the pages are those of _reference.py
autodoc_typehints = "none"  # numpydoc's sections say it
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "py:obj"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]

html_theme = "pydata_sphinx_theme"
html_title = f"skmatgnn {release}"
html_static_path = []
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"changelog": [], "index": []}

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "examples")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"plot_",
    "doc_module": ("skmatgnn",),
    "backreferences_dir": "api/backreferences",
    "reference_url": {"skmatgnn": None},
    "abort_on_example_error": False,
    "show_memory": False,
    "min_reported_time": 1,
    "plot_gallery": "True",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "parallel": 2,
    "matplotlib_animations": False,
}

# as files of the repository link to each other, and as pages do
LINKS = {
    "](../benchmarks/README.md": "](benchmarks.md",
    "](../docs/": "](",
    "](../CHANGELOG.md": "](changelog.md",
    "](../README.md": "](index.md",
}


# where there is a page on it
SCALE_OUT = """
## Several GPUs and machines

```{toctree}
../scale_out
```
"""


def extend(_app, name, content):
    """Prepare the text of a page."""
    if name == "guide/gpus" and (HERE / "scale_out.md").is_file():
        content[0] += SCALE_OUT
    mend_links(content)


def mend_links(content):
    """Let pages link to what the site includes from elsewhere in the repository."""
    for in_repository, on_site in LINKS.items():
        content[0] = content[0].replace(in_repository, on_site)


def setup(app):
    """Write the reference before Sphinx looks for pages."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    write_reference(HERE / "api")
    app.connect("source-read", extend)
    app.connect("include-read", lambda _app, _path, _name, text: mend_links(text))
