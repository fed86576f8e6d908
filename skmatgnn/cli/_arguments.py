"""Arguments that several commands have, and what turns their texts into values."""

from __future__ import annotations

import argparse
import ast
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TABLE_OR_FOLDER",
    "PropertySource",
    "add_columns",
    "add_command",
    "add_common",
    "add_parameters",
    "add_structure_column",
    "add_training",
    "integer",
    "n_jobs",
    "names",
    "parameter",
    "property_source",
]

TABLE_OR_FOLDER = (
    "a table with a column of formulas (CSV, TSV or JSON; plain, .gz, .bz2 or .xz), or "
    "a folder with id_prop.csv and one structure file (CIF, POSCAR) for each line"
)


class PropertySource(NamedTuple):
    """A property, where its values are, and in which column if that was said."""

    name: str
    path: Path
    column: str | None


def add_command(
    commands: argparse._SubParsersAction, name: str, text: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command whose texts are shown as they are.

    Parameters
    ----------
    commands : action
        From ``add_subparsers``.
    name : str
        The command.
    text : str
        What it does; the first line is its summary.
    epilog : str
        What stands after the options.

    Returns
    -------
    ArgumentParser
    """
    return commands.add_parser(
        name,
        help=text.partition("\n")[0].rstrip(":"),
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add what says where formulas and targets are.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--formula-column",
        metavar="C",
        help="column of a table with the formulas (default: formula)",
    )
    parser.add_argument(
        "--target",
        nargs="+",
        action="extend",
        metavar="T",
        help="column(s) to predict; needed for a table. Of several, each may have "
        "unknown values (empty, na, nan, null, none); a single one may not",
    )


def add_structure_column(parser: argparse.ArgumentParser) -> None:
    """Add what says where the structures of a table are.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--structure-column",
        metavar="C",
        help="column of a table with the structures: text or names of CIF or POSCAR "
        "files, or pymatgen's or ALIGNN's JSON (default: the first of structure, "
        "atoms, cif, poscar, file, path; else lattice, species and frac_coords)",
    )


def add_training(parser: argparse.ArgumentParser, *, forest: bool = True) -> None:
    """Add what training depends on.

    Parameters
    ----------
    parser : ArgumentParser
    forest : bool, default=True
        Whether random forests are trained too.
    """
    parser.add_argument(
        "--max-rows",
        type=integer(2),
        metavar="N",
        help="use a random sample of N rows",
    )
    parser.add_argument(
        "--max-epochs",
        type=integer(1),
        metavar="N",
        help="epochs of the networks (default: 100)",
    )
    if forest:
        parser.add_argument(
            "--n-estimators",
            type=integer(1),
            default=200,
            metavar="N",
            help="trees of rf_magpie (default: 200; the 500 of the Matbench baseline "
            "take 2.5 times as long and are hardly better)",
        )
    parser.add_argument(
        "--random-state",
        type=integer(0, 2**32 - 1),
        default=0,
        metavar="SEED",
        help="default: 0",
    )
    add_common(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what all commands have.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="device of the networks: auto, cpu, cuda, cuda:1 (default: auto)",
    )
    parser.add_argument(
        "--n-jobs",
        type=n_jobs,
        default=1,
        metavar="N",
        help="cores for reading, graphs and fits side by side, -1 for all (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add what sets the parameters that have no option of their own.

    Parameters
    ----------
    parser : ArgumentParser
    """
    parser.add_argument(
        "--param",
        dest="parameters",
        type=parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other parameter of the network, such as lr=0.001; repeatable",
    )


def names(text: str) -> list[str]:
    """Split names at commas.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(
            f"expected names separated by commas, none twice; got {text!r}"
        )
    return found


def integer(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Make a converter to integers of a range.

    Parameters
    ----------
    least : int
    most : float

    Returns
    -------
    callable
    """

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected an integer of {least} or more; got {text!r}"
                if math.isinf(most)
                else f"expected an integer from {least} to {most}; got {text!r}"
            )
        return value

    return convert


def n_jobs(text: str) -> int:
    """Convert a number of cores.

    Parameters
    ----------
    text : str

    Returns
    -------
    int
        Not zero.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value == 0:
        raise argparse.ArgumentTypeError(
            f"expected a number of cores, or -1 for all; got {text!r}"
        )
    return value


def property_source(text: str) -> PropertySource:
    """Read ``NAME=PATH[:COLUMN]``.

    Parameters
    ----------
    text : str

    Returns
    -------
    PropertySource
        What follows the last colon is a column unless the whole is a path that exists.
    """
    name, equals, place = (part.strip() for part in text.partition("="))
    if not (name and equals and place):
        raise argparse.ArgumentTypeError(
            f"expected NAME=PATH or NAME=PATH:COLUMN; got {text!r}"
        )
    head, colon, column = place.rpartition(":")
    if not colon or not head or not column or Path(place).expanduser().exists():
        return PropertySource(name, Path(place).expanduser(), None)
    return PropertySource(name, Path(head).expanduser(), column)


def parameter(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``.

    Parameters
    ----------
    text : str

    Returns
    -------
    (str, object)
        The value is that of JSON or of Python; if it is neither, the text itself.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name.isidentifier() and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE; got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        pass
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
