"""Downloads that go on where they were stopped, and end complete or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from skmatgnn.errors import DownloadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Download", "sha256_of"]

_CHUNK = 2**18
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Passing(Exception):  # noqa: N818 - it never leaves this module
    """What may be over at the next attempt."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Download:
    """A file of the network, to be written to a path.

    What has come is kept beside it, as ``<path>.part``, with what the server said of
    its version, so that a later call, also after a crash, asks for the rest only. A
    server that cannot do this, or has another version by now, gives all of it again.

    Parameters
    ----------
    url : str
    path : Path
        It appears, and replaces an old one, when it is complete and right.
    sha256 : str or None, default=None
        What the content must have.
    n_bytes : int or None, default=None
        Its size, if it is known.
    max_bytes : int, default=2**32
        More is never written.
    n_retries : int, default=3
        Attempts after one that brought nothing new.
    delay : float, default=1.0
        Seconds before the first of them; each is twice the one before.
    timeout : float, default=30.0
        Seconds without a byte after which an attempt has failed.
    verbose : bool, default=False
        Whether to show a progress bar.
    """

    url: str
    path: Path
    sha256: str | None = None
    n_bytes: int | None = None
    max_bytes: int = 2**32
    n_retries: int = 3
    delay: float = 1.0
    timeout: float = 30.0
    verbose: bool = False

    def run(self) -> str:
        """Download.

        Returns
        -------
        str
            SHA-256 of the content.

        Raises
        ------
        DownloadError
            If it cannot be had, or is not what it should be. What has come is kept
            unless it was wrong.
        """
        from filelock import FileLock

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._beside(".lock")):  # freed when its owner dies
                if self.sha256 and self.path.is_file():  # another process got it
                    found = sha256_of(self.path)
                    if found == self.sha256:
                        return found
                return self._until_right()
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(
                f"{self.path} could not be written ({error}). Make room, or choose "
                "another folder with data_home."
            ) from error

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    @property
    def _part(self) -> Path:
        return self._beside(".part")

    @property
    def _note(self) -> Path:
        return self._beside(".part.json")

    def _until_right(self) -> str:
        for last in (False, True):
            resumed = self._until_complete()
            found = sha256_of(self._part)
            if self.sha256 in (None, found):
                self._part.replace(self.path)
                self._note.unlink(missing_ok=True)
                return found
            self._discard()
            if last or not resumed:
                break
        raise DownloadError(
            f"{self.url} has the SHA-256 {found}, not {self.sha256}: it was changed or "
            "damaged. It was not kept."
        )

    def _discard(self) -> None:
        for path in (self._part, self._note):
            path.unlink(missing_ok=True)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _until_complete(self) -> bool:
        """Try until all is there; say whether it came in more than one piece."""
        failures, most, resumed = 0, self._size(), self._size() > 0
        while True:
            try:
                self._attempt()
            except _Passing as error:
                failures = 0 if self._size() > most else failures
                most = max(most, self._size())
                if failures == self.n_retries:
                    raise DownloadError(
                        f"{self.url} could not be downloaded: {error}, after "
                        f"{failures + 1} attempts."
                    ) from error.__cause__
                wait = self.delay * 2**failures if error.wait is None else error.wait
                time.sleep(min(wait, _LONGEST_WAIT))
                failures, resumed = failures + 1, True
            else:
                return resumed

    def _attempt(self) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        try:
            with requests.Session() as session:
                start, note = self._resumable()
                headers = {"Accept-Encoding": "identity"}  # so that bytes count
                if start:
                    headers["Range"] = f"bytes={start}-"
                    if note.get("validator"):
                        headers["If-Range"] = note["validator"]
                response = session.get(
                    self.url, headers=headers, stream=True, timeout=self.timeout
                )
                with response:
                    self._receive(response, start, note)
        except requests.RequestException as error:
            if isinstance(error, ValueError) and error.response is None:
                text = f"{self.url} is no usable address: {error}."
                raise DownloadError(text) from error
            raise _Passing(_short(error)) from error
        except HTTPError as error:
            raise _Passing(_short(error)) from error

    def _resumable(self) -> tuple[int, dict[str, Any]]:
        """Bytes that need not come again, and what the server said of them."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            note = {}
        same = isinstance(note, dict) and note.get("url") == self.url
        # without a checksum, only the server can tell that it is the same file
        if same and (note.get("validator") or self.sha256):
            return self._size(), note
        self._discard()
        return 0, {}

    def _receive(self, response: Any, start: int, note: dict[str, Any]) -> None:
        self._require_no_downgrade(response)
        status = response.status_code
        if status == 416:
            complete = self.sha256 and self._size() and sha256_of(self._part)
            if complete and complete == self.sha256:
                return
            self._discard()
            raise _Passing("the part that was there does not fit")
        if status in _RETRIED:
            wait = response.headers.get("Retry-After", "")
            raise _Passing(f"HTTP {status}", float(wait) if wait.isdigit() else None)
        if status not in (200, 206):
            raise DownloadError(
                f"{self.url} could not be downloaded: HTTP {status} {response.reason}."
            )
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if status == 200:
            start = 0
            self._remember(response)
        else:
            total = self._total_of_range(response, start, note)
        self._require_size(total)
        self._write(response, start, total)

    def _require_no_downgrade(self, response: Any) -> None:
        hops = [each.url for each in (*response.history, response)]
        if self.url.startswith("https:") and any(
            not hop.startswith("https:") for hop in hops
        ):
            raise DownloadError(f"{self.url} leads to an address without encryption.")

    def _total_of_range(
        self, response: Any, start: int, note: dict[str, Any]
    ) -> int | None:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        versions = (note.get("validator"), _validator(response))
        changed = all(versions) and versions[0] != versions[1]
        if found is None or int(found[1]) != start or changed:
            self._discard()
            raise _Passing("the server sent another part than was asked for")
        return None if found[2] == "*" else int(found[2])

    def _remember(self, response: Any) -> None:
        """Note the version before its bytes, so that none is without."""
        self._part.unlink(missing_ok=True)
        text = json.dumps({"url": self.url, "validator": _validator(response)})
        self._note.write_text(text, encoding="utf-8")

    def _require_size(self, total: int | None) -> None:
        if total is None:
            return
        if self.n_bytes is not None and total != self.n_bytes:
            raise DownloadError(
                f"{self.url} has {total} bytes, not {self.n_bytes}: it was changed."
            )
        if total > self.max_bytes:
            raise DownloadError(
                f"{self.url} has {total} bytes, more than the limit of "
                f"{self.max_bytes}."
            )
        free = shutil.disk_usage(self.path.parent).free
        if total - self._size() > free:
            raise DownloadError(
                f"{self.url} has {total} bytes, but {self.path.parent} has room for "
                f"{free}. Make room, or choose another folder with data_home."
            )

    def _write(self, response: Any, start: int, total: int | None) -> None:
        from tqdm.auto import tqdm

        bar = tqdm(
            total=total,
            initial=start,
            desc=self.path.name,
            unit="B",
            unit_scale=True,
            disable=not self.verbose,
        )
        size = start
        with bar, self._part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # as it was sent: .gz stays .gz whatever the server calls its encoding
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                size += len(chunk)
                if size > self.max_bytes:
                    raise DownloadError(
                        f"{self.url} sends more than the limit of {self.max_bytes} "
                        "bytes."
                    )
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if total is not None and size != total:
            raise _Passing(f"the connection ended after {size} of {total} bytes")


def _validator(response: Any) -> str:
    """Return what tells versions of a file apart, as If-Range takes it."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= 160 else text[:157] + "..."
    return f"{type(error).__name__}: {text}"
