"""Battery electrodes of the Materials Project, as it has them today."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skmatgnn.datasets._data_home import get_data_home
from skmatgnn.datasets._readers import read_electrodes
from skmatgnn.errors import DownloadError, InvalidTypeError, InvalidValueError
from skmatgnn.utils._optional import import_optional
from skmatgnn.utils.elements import ATOMIC_NUMBERS
from skmatgnn.utils.validation import describe
from skmatgnn.utils.whole_file import write_whole

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["fetch_electrodes"]

_KEY_VARIABLE = "MP_API_KEY"
_REQUIRED = ("battery_id", "formula_discharge", "formula_charge", "working_ion")
_PAIR = (
    *("formula_discharge", "formula_charge", "average_voltage", "capacity_grav"),
    *("capacity_vol", "energy_grav", "energy_vol", "max_delta_volume"),
    *("id_discharge", "id_charge", "fracA_discharge", "fracA_charge"),
    *("stability_discharge", "stability_charge"),
)
_ELECTRODE = ("battery_id", "working_ion", "framework_formula", "num_steps")
_PAGE = "https://next-gen.materialsproject.org/api"


def fetch_electrodes(
    api_key: str | None = None,
    *,
    working_ion: str | Sequence[str] | None = None,
    steps: bool = False,
    refresh: bool = False,
    as_frame: bool = False,
    return_X_y: bool = False,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Bunch | tuple[Any, Any]:
    """Load the insertion electrodes of the Materials Project, asking it if need be.

    ==================  =====================================================
    Task                regression, three targets
    Samples             some thousand; they change with the database
    Input               ``formula_discharge`` (string)
    Targets             ``average_voltage`` (V), ``capacity_grav`` (mAh/g),
                        ``capacity_vol`` (mAh/cm^3)
    Unknown values      NaN
    Groups              ``battery_id``
    Source              Materials Project [1]_, by its client mp-api, of the
                        extra ``skmatgnn[mp]``
    Terms               CC BY 4.0
    Recommended split   ``GroupKFold`` by ``groups``, or by host and ion
    Recommended metric  MAE, or MAE over that of predicting the mean
    ==================  =====================================================

    Parameters
    ----------
    api_key : str or None, default=None
        Your key, which https://next-gen.materialsproject.org/api shows after logging
        in. None takes the environment variable ``MP_API_KEY``. It goes to the client
        and nowhere else. What was downloaded before needs none.
    working_ion : str, sequence of str or None, default=None
        Only electrodes of these ions, for example ``"Li"``.
    steps : bool, default=False
        Whether rows are the single steps of a voltage profile rather than whole
        electrodes. Steps of one electrode share ``battery_id``.
    refresh : bool, default=False
        Whether to ask again although it was downloaded before.
    as_frame : bool, default=False
        Return ``data`` and ``target`` as pandas objects.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    data_home : str or path or None, default=None
        Folder for downloads; see `get_data_home`.
    download_if_missing : bool, default=True
        Whether to download what is not there; False raises an error.
    n_retries : int, default=3
        Attempts after one that failed.
    delay : float, default=1.0
        Seconds before the first of them; each is twice the one before.

    Returns
    -------
    Bunch
        As of `read_electrodes`, and ``database_version``, ``retrieved`` (date),
        ``citation``, ``licence`` and ``path``. With ``return_X_y``, the tuple
        ``(data, target)``.

    Raises
    ------
    DownloadError
        If it is not there and cannot be had.
    InvalidValueError
        If an ion is no element, or there is no key.
    ImportError
        If mp-api is needed but not installed.

    See Also
    --------
    read_electrodes : Reads a table of electrodes that you have.

    References
    ----------
    .. [1] Jain, A. et al. The Materials Project: A materials genome approach to
       accelerating materials innovation. APL Materials 1, 011002 (2013).
       doi:10.1063/1.4812323

    Examples
    --------
    >>> from skmatgnn.datasets import fetch_electrodes
    >>> lithium = fetch_electrodes(working_ion="Li")  # doctest: +SKIP
    """
    ions = _ensure_ions(working_ion)
    path = get_data_home(data_home) / "materials_project" / _file_name(ions, steps)
    if refresh or not path.is_file():
        if not download_if_missing:
            raise DownloadError(
                f"{path} does not exist, and download_if_missing is False. Call "
                "fetch_electrodes where there is a network, and copy the file."
            )
        key = _ensure_key(api_key)
        answer = _ask(key, ions, steps=steps, n_retries=n_retries, delay=delay)
        _write(path, answer)
    facts = _facts(path)
    bunch: Any = read_electrodes(path, as_frame=as_frame)
    if return_X_y:
        return bunch.data, bunch.target
    bunch.update(facts, path=path, citation=_CITATION, licence="CC BY 4.0")
    bunch.DESCR += (
        f"\nMaterials Project, database {facts['database_version']}, retrieved on "
        f"{facts['retrieved']}. Licence: CC BY 4.0. Citation: {_CITATION}\n"
    )
    return bunch


_CITATION = (
    "Jain, A. et al. The Materials Project: A materials genome approach to "
    "accelerating materials innovation. APL Materials 1, 011002 (2013). "
    "doi:10.1063/1.4812323"
)


def _ensure_ions(working_ion: Any) -> list[str]:
    if working_ion is None:
        return []
    ions = [working_ion] if isinstance(working_ion, str) else working_ion
    if not isinstance(ions, Sequence):
        raise InvalidTypeError(
            "working_ion must be an element symbol or a sequence of them; got "
            f"{describe(working_ion)}."
        )
    for ion in ions:
        if not isinstance(ion, str) or ion not in ATOMIC_NUMBERS:
            raise InvalidValueError(
                "working_ion must be element symbols such as 'Li'; got "
                f"{describe(ion)}."
            )
    return sorted(set(ions))


def _file_name(ions: list[str], steps: bool) -> str:
    kind = "electrode_steps" if steps else "electrodes"
    return "_".join([kind, *ions]) + ".json.gz"


def _ensure_key(api_key: Any) -> str:
    if api_key is not None and not isinstance(api_key, str):
        raise InvalidTypeError(f"api_key must be a str; got {type(api_key).__name__}.")
    key = api_key or os.environ.get(_KEY_VARIABLE)
    if not key:
        raise InvalidValueError(
            f"The Materials Project needs a key: pass api_key, or set {_KEY_VARIABLE}. "
            f"It is shown at {_PAGE} after logging in."
        )
    return key


def _ask(
    key: str, ions: list[str], *, steps: bool, n_retries: int, delay: float
) -> dict[str, Any]:
    client = import_optional("mp_api.client", extra="mp", purpose="fetch_electrodes")
    for attempt in range(n_retries + 1):
        try:
            with client.MPRester(key) as rester:
                version = getattr(rester, "db_version", None)
                version = version or rester.get_database_version()
                found = rester.materials.insertion_electrodes.search(
                    fields=[*_ELECTRODE, *_PAIR, *(["adj_pairs"] if steps else [])],
                    **({"working_ion": ions} if ions else {}),
                )
                rows = [row for document in found for row in _rows(document, steps)]
            break
        except Exception as error:  # noqa: BLE001 - the client raises what it meets
            reason = f"{type(error).__name__}: {error}".replace(key, "***")
        if attempt < n_retries:
            time.sleep(delay * 2**attempt)
    else:  # not from the error, which may hold the key
        raise DownloadError(
            f"The Materials Project did not answer, after {n_retries + 1} attempts "
            f"({' '.join(reason.split())[:200]}). Check the network and the key."
        )
    if not rows:
        raise DownloadError(
            "The Materials Project has no electrodes"
            + (f" of {', '.join(ions)}." if ions else ".")
        )
    today = datetime.now(UTC).date().isoformat()
    return {"rows": rows, "database_version": str(version), "retrieved": today}


def _rows(document: Any, steps: bool) -> Iterator[dict[str, Any]]:
    whole = {name: _plain(_get(document, name)) for name in (*_ELECTRODE, *_PAIR)}
    pairs = _get(document, "adj_pairs") or [] if steps else [document]
    for pair in pairs:
        row = whole | {name: _plain(_get(pair, name)) for name in _PAIR}
        if all(row[name] for name in _REQUIRED):
            yield row


def _get(document: Any, name: str) -> Any:
    if isinstance(document, Mapping):
        return document.get(name)
    return getattr(document, name, None)


def _plain(value: Any) -> Any:
    """Make JSON of what the client's models hold, such as elements and ids."""
    return value if value is None or isinstance(value, int | float) else str(value)


def _write(path: Path, answer: dict[str, Any]) -> None:
    """Write rows and facts, each at once; the rows last, as they count as there."""
    facts = {k: v for k, v in answer.items() if k != "rows"}
    note = path.with_name(path.name + ".about")
    rows = json.dumps(answer["rows"]).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in (
            (note, json.dumps(facts).encode()),
            (path, gzip.compress(rows, mtime=0)),
        ):
            write_whole(target, content)
    except OSError as error:
        raise DownloadError(
            f"{path} could not be written ({error}). Make room, or choose another "
            "folder with data_home."
        ) from error


def _facts(path: Path) -> dict[str, str]:
    unknown = {"database_version": "unknown", "retrieved": "an unknown day"}
    try:
        note = path.with_name(path.name + ".about").read_text(encoding="utf-8")
        found = json.loads(note)
    except (OSError, ValueError):
        return unknown
    if not isinstance(found, dict):
        return unknown
    return {key: str(found.get(key, value)) for key, value in unknown.items()}
