"""Downloads from a server that fails in all the ways that servers do."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import skmatgnn
from skmatgnn.datasets import _download
from skmatgnn.datasets._download import Download, sha256_of
from skmatgnn.errors import DownloadError, SkmatgnnError

CONTENT = np.random.default_rng(0).bytes(700_000)
DIGEST = sha256(CONTENT).hexdigest()
HALF = 300_000


@pytest.fixture
def start(site, tmp_path):
    """Make a download of the one file of the site, which waits for nothing."""
    site.files["data.bin"] = CONTENT

    def make(**kwargs):
        defaults = {"sha256": DIGEST, "delay": 0.0, "timeout": 5.0}
        url = kwargs.pop("url", f"{site.url}/data.bin")
        return Download(url, tmp_path / "in" / "data.bin", **(defaults | kwargs))

    return make


def left(download):
    """Files beside the result, without the lock."""
    names = {path.name for path in download.path.parent.iterdir()}
    return names - {"data.bin", "data.bin.lock"}


def require_whole(download):
    assert download.run() == DIGEST
    assert download.path.read_bytes() == CONTENT
    assert left(download) == set()


def test_download__good_server__writes_the_file_and_nothing_else(start, site):
    download = start()
    require_whole(download)
    assert site.requests == [("data.bin", None)]
    assert sha256_of(download.path) == DIGEST
    require_whole(download)  # what is there and right is not asked for again
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_download__busy_server__is_asked_again(start, site, Reply, status):
    site.replies = [Reply(status=status), Reply(status=status)]
    require_whole(start())
    assert len(site.requests) == 3


def test_download__waits__double_and_obey_the_server(start, site, Reply, monkeypatch):
    waits = []
    monkeypatch.setattr(_download.time, "sleep", waits.append)
    site.replies = [
        Reply(status=503),
        Reply(status=503),
        Reply(status=429, headers={"Retry-After": "7"}),
    ]
    require_whole(start(delay=0.5))
    assert waits == [0.5, 1.0, 7.0]
    site.files["data.bin"] = CONTENT[::-1]
    site.replies = [Reply(status=503, headers={"Retry-After": "99999"})]
    start(sha256=None).run()
    assert waits[3:] == [60.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_download__refusing_server__is_asked_once(start, site, Reply, status):
    site.replies = [Reply(status=status)]
    with pytest.raises(DownloadError, match=rf"data.bin .*HTTP {status}"):
        start().run()
    assert len(site.requests) == 1


def test_download__server_that_stays_busy__is_given_up(start, site, Reply):
    site.replies = [Reply(status=503)] * 9
    with pytest.raises(DownloadError, match="HTTP 503, after 3 attempts"):
        start(n_retries=2).run()
    assert len(site.requests) == 3


@pytest.mark.parametrize("known", [True, False])
def test_download__connection_lost__goes_on_where_it_was(start, site, Reply, known):
    site.replies = [Reply(stop_after=HALF)]
    require_whole(start(sha256=DIGEST if known else None))
    assert site.requests == [("data.bin", None), ("data.bin", f"bytes={HALF}-")]


def test_download__connection_lost_often__is_tried_as_long_as_more_comes(
    start, site, Reply
):
    site.replies = [Reply(stop_after=100_000)] * 6
    require_whole(start(n_retries=1))
    assert len(site.requests) == 7


def test_download__no_version_and_no_checksum__starts_anew(start, site, Reply):
    site.etag = None
    site.replies = [Reply(stop_after=HALF)]
    require_whole(start(sha256=None))
    assert [asked for _, asked in site.requests] == [None, None]


def test_download__server_without_ranges__gives_all_again(start, site, Reply):
    site.replies = [Reply(stop_after=HALF), Reply(ranges=False)]
    require_whole(start())
    assert site.requests[1] == ("data.bin", f"bytes={HALF}-")


def test_download__server_without_ranges_that_always_fails__ends(start, site, Reply):
    site.replies = [Reply(stop_after=HALF, ranges=False)] * 20
    with pytest.raises(
        DownloadError, match=f"{HALF} .*after 3 attempts|IncompleteRead"
    ):
        start(n_retries=2).run()
    assert len(site.requests) <= 4


def test_download__another_part_than_asked_for__is_not_used(start, site, Reply):
    site.replies = [Reply(stop_after=HALF), Reply(shift=10)]
    require_whole(start())
    assert [asked for _, asked in site.requests] == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("honest", [True, False])
def test_download__new_version_meanwhile__is_not_mixed_with_the_old(
    start, site, Reply, honest
):
    site.replies = [Reply(stop_after=HALF)]
    with pytest.raises(DownloadError, match="after 1 attempts"):
        start(sha256=None, n_retries=0).run()
    new = CONTENT[::-1]
    site.files["data.bin"] = new
    if honest:  # answers If-Range with all of it
        site.etag = '"two"'
    else:  # sends the part, but says of what
        site.replies = [Reply(headers={"ETag": '"two"'})]
        site.etag = '"one"'
    download = start(sha256=None)
    assert download.run() == sha256(new).hexdigest()
    assert download.path.read_bytes() == new


def test_download__wrong_content__is_not_kept(start, site):
    site.files["data.bin"] = CONTENT[::-1]
    download = start()
    with pytest.raises(DownloadError, match=rf"SHA-256 \w{{64}}, not {DIGEST}"):
        download.run()
    assert not download.path.exists()
    assert left(download) == set()
    assert len(site.requests) == 1


def test_download__wrong_part_from_before__is_replaced(start, site):
    download = start()
    folder = download.path.parent
    folder.mkdir()
    (folder / "data.bin.part").write_bytes(b"x" * HALF)
    note = {"url": download.url, "validator": site.etag}
    (folder / "data.bin.part.json").write_text(json.dumps(note))
    require_whole(download)
    assert [asked for _, asked in site.requests] == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("note", ["{", "[]", '{"url": "elsewhere"}', None])
def test_download__part_of_unknown_origin__is_not_used(start, site, note):
    download = start(sha256=None)
    folder = download.path.parent
    folder.mkdir()
    (folder / "data.bin.part").write_bytes(b"x" * HALF)
    if note is not None:
        (folder / "data.bin.part.json").write_text(note)
    require_whole(download)
    assert site.requests == [("data.bin", None)]


@pytest.mark.parametrize("good", [True, False])
def test_download__all_was_there_but_not_renamed__is_checked(start, site, good):
    download = start()
    folder = download.path.parent
    folder.mkdir()
    (folder / "data.bin.part").write_bytes(CONTENT if good else CONTENT + b"x")
    note = {"url": download.url, "validator": site.etag}
    (folder / "data.bin.part.json").write_text(json.dumps(note))
    require_whole(download)
    assert len(site.requests) == (1 if good else 2)


def test_download__wrong_file_in_its_place__is_replaced(start):
    download = start()
    download.path.parent.mkdir()
    download.path.write_bytes(b"something else")
    require_whole(download)


@pytest.mark.parametrize("declared", [True, False])
def test_download__too_large__is_stopped(start, site, Reply, declared):
    site.replies = [Reply(declared=declared)]
    download = start(max_bytes=500_000, sha256=None)
    with pytest.raises(DownloadError, match="more than the limit of 500000"):
        download.run()
    assert not download.path.exists()


def test_download__length_not_declared__is_taken_as_it_ends(start, site, Reply):
    site.replies = [Reply(declared=False)]
    require_whole(start())


def test_download__other_size_than_known__is_an_error(start):
    with pytest.raises(DownloadError, match="700000 bytes, not 5: it was changed"):
        start(n_bytes=5).run()
    require_whole(start(n_bytes=len(CONTENT)))


def test_download__no_room__says_so_before_it_writes(start, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(_download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"room for 1000.*data_home"):
        start().run()


def test_download__folder_that_cannot_be__says_so(start, site, tmp_path):
    (tmp_path / "in").write_text("a file")
    with pytest.raises(DownloadError, match=r"could not be written.*data_home"):
        start().run()
    assert site.requests == []


def test_download__encoding_that_the_server_claims__is_left_alone(start, site, Reply):
    packed = gzip.compress(CONTENT, mtime=0)
    site.files["data.bin"] = packed
    site.replies = [Reply(headers={"Content-Encoding": "gzip"})]
    download = start(sha256=sha256(packed).hexdigest())
    download.run()
    assert download.path.read_bytes() == packed


@pytest.mark.parametrize("url", ["nowhere://x/data.bin", "data.bin", "http://"])
def test_download__no_address__is_not_tried_again(start, url):
    with pytest.raises(DownloadError, match="no usable address"):
        start(url=url).run()


def test_download__nobody_there__is_our_error_and_an_os_error(start, site):
    site.close()
    with pytest.raises(DownloadError, match=r"data.bin could .*after 2 attempts"):
        start(n_retries=1).run()
    assert issubclass(DownloadError, OSError)
    assert issubclass(DownloadError, SkmatgnnError)


def test_download__address_that_leads_to_an_unencrypted_one__is_refused(start):
    class Response:
        url, history, status_code = "http://there/data.bin", (), 200

    download = start(url="https://here/data.bin")
    with pytest.raises(DownloadError, match="without encryption"):
        download._receive(Response(), 0, {})


def test_download__many_at_once__one_asks(start, site):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(start().run())) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DIGEST] * 5
    assert len(site.requests) == 1


def test_download__verbose__shows_progress(start, site, Reply, capfd):
    site.replies = [Reply(stop_after=HALF)]
    start(verbose=True).run()
    assert "700k/700k" in capfd.readouterr().err


KILLED = """
import sys
from pathlib import Path
from skmatgnn.datasets._download import Download
url, path, digest = sys.argv[1:]
Download(url, Path(path), sha256=digest or None, timeout=60).run()
"""


@pytest.mark.parametrize("known", [True, False])
def test_download__process_killed__next_one_goes_on(start, site, Reply, known):
    download = start(sha256=DIGEST if known else None)
    site.replies = [Reply(stop_after=HALF, hold=True)]
    root = str(Path(skmatgnn.__file__).parents[1])
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            "-c",
            KILLED,
            download.url,
            download.path,
            download.sha256 or "",
        ],
        env=os.environ | {"PYTHONPATH": root},
    )
    try:
        assert site.held.wait(60)
        part = download.path.with_name("data.bin.part")
        while not part.exists() or part.stat().st_size == 0:
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    came = part.stat().st_size
    assert 0 < came <= HALF
    assert not download.path.exists()
    site.released.set()
    require_whole(download)
    assert site.requests[1] == ("data.bin", f"bytes={came}-")
