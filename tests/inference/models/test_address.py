"""Weights at a plain address: fetched, verified, copied and shared as those of the hub are."""

import dataclasses
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inference.contract import depth_sequence, events, exit_codes
from inference.estimators.quick.weights import MODEL
from inference.models import access, notes, store, transfer, verification
from inference.models.facts import ModelFile
from tests.inference.support.small_models import NETWORK, content, expected, found, partials

PATH = "data/models/network.onnx"
BYTES = content(NETWORK.repository + PATH, 300_000)
FIXED = dataclasses.replace(
    NETWORK,
    revision_checked=True,
    files=(ModelFile(path=PATH, size=len(BYTES), sha256=hashlib.sha256(BYTES).hexdigest()),),
    address="https://weights.invalid/somebody/network",
)


class Server:
    """Serves one file at one path, by ranges; what goes wrong are attributes."""

    def __init__(self):
        self.asked, self.content, self.cut_after, self.cuts, self.status, self.ranges = [], BYTES, None, 0, 200, True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                told = self.headers.get("Range")
                server.asked.append((self.path, told))
                if server.status != 200:
                    self.send_error(server.status)
                    return
                if self.path != f"/somebody/network/{NETWORK.revision}/{PATH}":
                    self.send_error(404)
                    return
                start = int(told.removeprefix("bytes=").rstrip("-")) if told and server.ranges else 0
                body = server.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if server.cuts:
                    server.cuts -= 1
                    body = body[: server.cut_after]
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    made = Server()
    monkeypatch.setenv(access.MIRROR, made.address + "/")
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_a_file_comes_from_its_address_at_its_revision_and_is_verified(server, get):
    get(FIXED)
    assert found(FIXED) == {PATH: BYTES}
    assert verification.missing_requirements([FIXED]) == []
    assert notes.accepted(FIXED.licence)
    assert verification.model_status(FIXED).lock.origin == "fathom"
    (record,) = verification.ready([FIXED])
    assert record == depth_sequence.Weights(
        repository=FIXED.repository,
        revision=FIXED.revision,
        file=PATH,
        sha256=FIXED.files[0].sha256,
        licence=FIXED.licence.title,
    )
    get(FIXED)
    assert len(server.asked) == 1  # nothing is fetched twice


def test_without_the_licence_nothing_is_fetched(server, get, refused):
    assert refused(FIXED, accept=False).code == exit_codes.UNSUPPORTED
    assert server.asked == []


def test_a_lost_connection_goes_on_where_it_was(server, get):
    server.cut_after, server.cuts = 100_000, 2
    heard = get(FIXED)
    assert found(FIXED) == {PATH: BYTES}
    assert [told for _, told in server.asked] == [None, "bytes=100000-", "bytes=200000-"]
    assert sum(isinstance(event, events.Warning) for event in heard) == 2


def test_a_download_that_was_given_up_goes_on_in_the_next_run(server, get, refused):
    server.cut_after, server.cuts = 0, 99
    assert refused(FIXED).code == exit_codes.MISSING
    server.cut_after, server.cuts, server.asked[:] = 50_000, 1, []
    monkeypatched = transfer._ATTEMPTS
    try:
        transfer._ATTEMPTS = 1
        refused(FIXED)
    finally:
        transfer._ATTEMPTS = monkeypatched
    assert partials() == {50_000}
    get(FIXED)
    assert found(FIXED) == {PATH: BYTES} and server.asked[-1][1] == "bytes=50000-"


def test_a_server_without_ranges_sends_it_from_the_start(server, get):
    server.ranges, server.cut_after, server.cuts = False, 100_000, 1
    get(FIXED)
    assert found(FIXED) == {PATH: BYTES}


def test_another_content_is_never_taken(server, refused):
    server.content = b"x" * len(BYTES)
    failure = refused(FIXED)
    assert failure.code == exit_codes.MISSING and "damaged" in failure.what
    assert found(FIXED) == {}
    server.content = BYTES + b"more"
    assert "than the 300000 bytes" in refused(FIXED).what


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (503, 5), (429, 5)])
def test_what_passes_is_tried_again_and_what_does_not_is_said(server, refused, status, attempts):
    server.status = status
    failure = refused(FIXED)
    assert f"({status})" in failure.what and server.address in failure.what
    assert access.MIRROR in failure.hint and "--from DIR" in failure.hint
    assert len(server.asked) == attempts


def test_a_mirror_that_is_no_address_is_said(refused, monkeypatch):
    monkeypatch.setenv(access.MIRROR, "file:///etc")
    assert access.MIRROR in refused(FIXED).what


def test_offline_asks_nobody(server, get, refused, tmp_path):
    assert "offline mode" in refused(FIXED, offline=True).what
    assert server.asked == []
    folder = tmp_path / "folder" / FIXED.repository / PATH
    folder.parent.mkdir(parents=True)
    folder.write_bytes(BYTES)
    get(FIXED, source=tmp_path / "folder", offline=True)
    assert found(FIXED) == {PATH: BYTES} and server.asked == []


def test_a_folder_with_another_content_is_not_taken(refused, tmp_path):
    path = tmp_path / FIXED.repository / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * len(BYTES))
    assert "does not match the checksum" in refused(FIXED, source=tmp_path).what


@pytest.mark.parametrize("right", [True, False])
def test_a_studios_folder_is_compared_with_what_fathom_fixes(tmp_path, monkeypatch, right):
    path = tmp_path / FIXED.repository / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES if right else b"x" * len(BYTES))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(tmp_path))
    problems = verification.problems_of(FIXED)
    assert list(problems) == ([] if right else [PATH])


def test_damage_is_found_and_mended(server, get):
    get(FIXED)
    path = store.folder(FIXED) / PATH
    path.resolve().write_bytes(BYTES[:-1] + b"?" if BYTES[-1:] != b"?" else BYTES[:-1] + b"!")
    assert list(verification.problems_of(FIXED)) == [PATH]
    get(FIXED)
    assert found(FIXED) == {PATH: BYTES}


def test_the_weights_of_quick_are_what_was_published():
    lock = notes.read_lock(MODEL)
    assert lock.files[0].sha256 == "902b886beaebd3f68deb40bab2fd636a0c112c1ef1cbdd15fa26e5c55b389b4d"
    assert lock.files[0].size == 790459
    assert access.server_of(MODEL, None).address == "https://raw.githubusercontent.com/locaal-ai/obs-backgroundremoval"


def test_the_hubs_weights_are_not_touched_by_it(hub, server, get):
    get(NETWORK)
    assert found() == expected()
    assert server.asked == []
