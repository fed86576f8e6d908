"""Arguments and help texts of ``skmatgnn pretrain`` and ``finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from skmatgnn.cli._arguments import (
    TABLE_OR_FOLDER,
    add_columns,
    add_command,
    add_parameters,
    add_structure_column,
    add_training,
    property_source,
)

if TYPE_CHECKING:
    import argparse

__all__ = ["STRATEGIES", "add_finetune", "add_pretrain"]

#: As in ``skmatgnn.nets``, which would be slow to import for a help text.
STRATEGIES = (
    *("full", "head", "two_body", "three_body", "all_but_embedding"),
    *("gradual", "discriminative"),
)

_PRETRAIN = """\
Train one network on many properties, to fine-tune it later (MPTRegressor).

The files are merged into one table, in which a property is unknown for the materials of
the others. A folder has id_prop.csv and a structure file for each of its lines; a table
is CSV, TSV or JSON with a structure in each row, and unknown values are left out."""

_PRETRAIN_EXAMPLES = """\
examples:
  skmatgnn pretrain --property e_form=hosts.json:formation_energy_per_atom \\
      --property gap=hosts.json:band_gap --property phonon=phonon_folder \\
      --exclude my_test_set.csv --out mpt.safetensors
  skmatgnn finetune my_folder --pretrained mpt.safetensors --out mine.safetensors

--exclude keeps every material of a test set out, so that its score is honest:
pre-training on other properties of the very materials that one tests on is a leak.

Ctrl-C during training writes the best network so far (exit code 130). The checkpoint is
JSON and plain numbers: reading it runs no code."""

_FINETUNE = "Go on from a pre-trained network with your own data."

_FINETUNE_EXAMPLES = """\
strategies: full (all weights), head, two_body (atoms and bonds, and head), three_body
(angles, and head), all_but_embedding, gradual (from the head down), discriminative
(slower towards the input)

examples:
  skmatgnn finetune my_folder --pretrained mpt.safetensors --out mine.safetensors
  skmatgnn finetune phonons.json --target last_phdos_peak \\
      --pretrained mpt.safetensors \\
      --fine-tuning discriminative --param lr=0.002 --out phonons.safetensors
  skmatgnn predict phonons.safetensors new_structures/

Ctrl-C during training writes the best network so far (exit code 130). The checkpoint is
JSON and plain numbers: reading it runs no code."""


def add_pretrain(commands: argparse._SubParsersAction) -> None:
    """Add ``pretrain``.

    Parameters
    ----------
    commands : action
        From ``add_subparsers``.
    """
    parser = add_command(commands, "pretrain", _PRETRAIN, _PRETRAIN_EXAMPLES)
    parser.add_argument(
        "--property",
        dest="properties",
        type=property_source,
        action="append",
        required=True,
        metavar="NAME=PATH[:COLUMN]",
        help="a property and its file; give one for each. Without COLUMN it is the "
        "column NAME, or the only one of id_prop.csv",
    )
    parser.add_argument(
        "--match",
        choices=["structure", "formula", "none"],
        default="structure",
        help="what makes rows of several files one material; of the same property, "
        "the mean is taken (default: structure)",
    )
    parser.add_argument(
        "--exclude",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="TEST_FILE",
        help="test sets: no material of theirs is trained on. Tables of structures or "
        "of formulas, or folders of structure files",
    )
    parser.add_argument(
        "--exclude-match",
        choices=["formula", "structure"],
        default="formula",
        help="by formula, polymorphs are left out too (default: formula)",
    )
    add_structure_column(parser)
    parser.add_argument(
        "--formula-column",
        metavar="C",
        help="column of the formulas of a TEST_FILE (default: formula)",
    )
    parser.add_argument(
        "--model",
        choices=["alignn", "cgcnn"],
        default="alignn",
        help="network (default: alignn)",
    )
    _add_network(parser)


def add_finetune(commands: argparse._SubParsersAction) -> None:
    """Add ``finetune``.

    Parameters
    ----------
    commands : action
        From ``add_subparsers``.
    """
    parser = add_command(commands, "finetune", _FINETUNE, _FINETUNE_EXAMPLES)
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help=f"{TABLE_OR_FOLDER}; or a table with a column of structures",
    )
    add_columns(parser)
    add_structure_column(parser)
    parser.add_argument(
        "--pretrained",
        required=True,
        metavar="CHECKPOINT",
        help="a checkpoint (of pretrain, fit, finetune, or an estimator's save), or "
        "the name of one that comes with skmatgnn",
    )
    parser.add_argument(
        "--fine-tuning",
        choices=STRATEGIES,
        default="full",
        metavar="STRATEGY",
        help=f"what is trained: {', '.join(STRATEGIES)} (default: full)",
    )
    parser.add_argument(
        "--head",
        choices=["auto", "keep", "new"],
        default="auto",
        help="whether the pre-trained last layer is kept (default: auto)",
    )
    _add_network(parser)


def _add_network(parser: argparse.ArgumentParser) -> None:
    add_parameters(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="CHECKPOINT",
        help="file to write; only a checkpoint is replaced",
    )
    add_training(parser, forest=False)
