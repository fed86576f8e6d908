"""Arguments and help texts of the ``skmatgnn`` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from skmatgnn import __version__
from skmatgnn.cli._arguments import (
    TABLE_OR_FOLDER,
    add_columns,
    add_command,
    add_common,
    add_parameters,
    add_structure_column,
    add_training,
    integer,
    names,
)
from skmatgnn.cli._transfer_arguments import add_finetune, add_pretrain

__all__ = ["make_parser"]

_DESCRIPTION = "Predict properties of materials from crystal structures and formulas."

_BENCHMARK = """\
Compare models on your data under several kinds of cross-validation:

  stratified       folds with the same distribution of the target, or of the labels
                   of --stratify-column
  formula          folds that share no reduced formula
  chemical_system  folds that share no set of elements, such as Li-Fe-P-O
  loco             leave one cluster out: clusters of similar compositions (k-means
                   on Magpie features), each predicted by a model that never saw it
  bootstrap        trained on rows drawn with replacement, tested on those not drawn

With --group-column the rows of a group are never on both sides of a split; a group
whose rows fall into several clusters goes whole to the one that has most of them.

Models for formulas: control (mean of the training rows), rf_magpie (random forest on
the 132 Magpie features), modnet and crabnet (networks; minutes). A folder of structures
adds cgcnn and alignn. Each target is learnt alone, from the rows where it is known,
unless --joint lets the networks learn all together.

Printed and written: MAE, SMAE (MAE over that of the control on the same folds) and R2
of the pooled predictions for rows that the model had not seen, with 95 % bootstrap
intervals over fixed predictions (resampling rows, or groups), and the seconds for
training and prediction.

Every fit is kept in DIR.partial until the results are complete: after Ctrl-C or a
crash the same command goes on where it stopped, also with more models or schemes."""

_BENCHMARK_EXAMPLES = """\
examples:
  skmatgnn benchmark
      2,135 measured formation energies that come with pymatgen; about a minute
  skmatgnn benchmark gaps.csv --target gap --models all --cv formula,loco
  skmatgnn benchmark electrodes.csv.gz --electrodes --models all --joint \\
      --cv stratified,formula,loco,bootstrap --two-sigma
      a table of the Materials Project's battery explorer: its three targets, by
      battery and working ion, beside the theoretical capacity
  skmatgnn benchmark crystals/ --models control,cgcnn --cv stratified --max-epochs 30
      structures; folder of CIF files with id_prop.csv

results: DIR is replaced as a whole and only when everything is complete:
  report.html      one page with the tables and all figures inside
  tables.md        the tables alone, as Markdown
  results.json     all scores, per fold and per cluster, parameters, versions
  predictions.csv  a line for each row, target and scheme, a column for each model
  *.png            the figures

exit codes: 0; 2 for bad arguments or data; 130 after Ctrl-C."""

_TRUST = """\
trust: a network is written as a checkpoint, which is JSON and plain numbers: reading it
runs no code. A forest (rf_magpie) is an archive of skops, which runs none either, if
skops is installed (pip install 'skmatgnn[skops]'); else it is a pickle (joblib), and
opening one runs whatever code it contains, so use predict only with pickles of people
you trust. Both are meant for the same versions of the packages; keep the data to train
again."""

_FIT = "Train a model on all rows of your data and write it to a file."
_FIT_EXAMPLES = """\
examples:
  skmatgnn fit gaps.csv --formula-column formula --target gap \\
      --model rf_magpie --out gaps.model
  skmatgnn fit crystals/ --model alignn --max-epochs 100 --out crystals.model
  skmatgnn fit crystals/ --model alignn --param lr=0.005 --param early_stopping=true \
      --out crystals.model
  skmatgnn fit crystals.json --target volume --model cgcnn --out volume.model

Ctrl-C while a network is trained writes the best model so far (exit code 130).

"""

_PREDICT = "Predict with a model file of fit, finetune or pretrain, or a checkpoint."
_PREDICT_EXAMPLES = """\
examples:
  skmatgnn predict gaps.model candidates.csv --formula-column formula
  skmatgnn predict crystals.model new_crystals/ --out new.csv

The CSV has the columns id (line of the table, or name of the structure file), formula,
and predicted_TARGET for each target, with --std also std_TARGET. An existing file is
replaced only if it is such a CSV. A CSV of formulas may be larger than memory: it is
read and written part by part.

"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors look like all others of the command."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"skmatgnn: error: {message}\nSee: {self.prog} --help\n")
        raise SystemExit(2)


def make_parser() -> argparse.ArgumentParser:
    """Build the parser.

    Returns
    -------
    ArgumentParser

    Examples
    --------
    >>> from skmatgnn.cli._parser import make_parser
    >>> make_parser().parse_args(["benchmark"]).models is None
    True
    """
    parser = _Parser(prog="skmatgnn", description=_DESCRIPTION)
    parser.add_argument(
        "--version", action="version", version=f"skmatgnn {__version__}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_benchmark(commands)
    _add_fit(commands)
    _add_predict(commands)
    add_pretrain(commands)
    add_finetune(commands)
    return parser


def _add_benchmark(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "benchmark", _BENCHMARK, _BENCHMARK_EXAMPLES)
    parser.add_argument(
        "data",
        nargs="?",
        type=Path,
        metavar="DATA",
        help=f"{TABLE_OR_FOLDER}; without it, data that come with pymatgen",
    )
    add_columns(parser)
    _add_row_labels(parser)
    _add_comparison(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("skmatgnn-benchmark"),
        metavar="DIR",
        help="folder for the results; only former results are replaced "
        "(default: skmatgnn-benchmark)",
    )
    add_training(parser)


def _add_row_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group-column",
        metavar="C",
        help="column of a table; its rows of equal value stay together",
    )
    parser.add_argument(
        "--stratify-column",
        metavar="C",
        help="column of a table whose labels all stratified folds get alike",
    )
    parser.add_argument(
        "--electrodes",
        action="store_true",
        help="DATA is a table of electrodes as in skmatgnn.datasets.read_electrodes; "
        "sets the columns, and adds the model theoretical for the capacity",
    )


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=names,
        metavar="A,B",
        help="control, rf_magpie, modnet, crabnet; for structures also cgcnn, alignn; "
        "all (default: control and rf_magpie for formulas, all for structures)",
    )
    parser.add_argument(
        "--joint",
        action="store_true",
        help="let the networks learn all targets at once",
    )
    parser.add_argument(
        "--cv",
        type=names,
        default=["stratified", "loco"],
        metavar="A,B",
        help="stratified, formula, chemical_system, loco, bootstrap (default: "
        "stratified,loco)",
    )
    parser.add_argument(
        "--n-splits",
        type=integer(2),
        default=5,
        metavar="N",
        help="folds of the schemes stratified, formula and chemical_system "
        "(default: 5)",
    )
    parser.add_argument(
        "--n-resamples",
        type=integer(1),
        metavar="N",
        help="resamples of the scheme bootstrap (default: 5)",
    )
    parser.add_argument(
        "--two-sigma",
        action="store_true",
        help="score also without the rows whose target is more than two standard "
        "deviations from the mean of those trained on",
    )
    parser.add_argument(
        "--bootstrap",
        type=integer(0),
        default=1000,
        metavar="N",
        help="resamples for the intervals, 0 for none (default: 1000)",
    )


def _add_fit(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "fit", _FIT, _FIT_EXAMPLES + _TRUST)
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help=f"{TABLE_OR_FOLDER}; or, for alignn and cgcnn, a table of structures",
    )
    add_columns(parser)
    add_structure_column(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="M",
        help="alignn or cgcnn (structures); crabnet, modnet or rf_magpie (formulas or "
        "structures)",
    )
    add_parameters(parser)
    parser.add_argument(
        "--ensemble",
        type=integer(1),
        default=1,
        metavar="N",
        help="average N networks that start from other weights; predict --std then "
        "writes how far they differ (default: 1)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="MODEL_FILE",
        help="file to write; only a model file is replaced",
    )
    add_training(parser)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = add_command(commands, "predict", _PREDICT, _PREDICT_EXAMPLES + _TRUST)
    parser.add_argument("model_file", type=Path, metavar="MODEL_FILE")
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a table of formulas or structures, a folder of structure files (*.cif, "
        "*.vasp, *.poscar, POSCAR*, CONTCAR*; no id_prop.csv needed), or one such file",
    )
    parser.add_argument(
        "--formula-column",
        metavar="C",
        help="column of the formulas (default: that of the training table)",
    )
    add_structure_column(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="CSV",
        help="file to write (default: predictions.csv)",
    )
    parser.add_argument(
        "--std",
        action="store_true",
        help="write standard deviations too (of crabnet, modnet and what fit "
        "--ensemble has made; by default all are too sure of themselves)",
    )
    add_common(parser)
