"""A hub, a mirror and a server of files that are somebody else's, and mean harm."""

import gzip
import json
import time

import pytest

from inference.contract import exit_codes
from inference.models import access, notes, transfer
from tests.inference.models.test_address import BYTES, FIXED
from tests.inference.support.hostile import Hostile, reply
from tests.inference.support.small_models import LARGE, NETWORK, SIZE, expected, found, partials
from tests.marks import rest_slow

COUNTLESS = b"[" * 100_000
OUTSIDE = "../../../../outside"


@pytest.fixture
def hostile(monkeypatch):
    """A server that HF_ENDPOINT and FATHOM_WEIGHTS_MIRROR name; what fails is tried again at once."""
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    with Hostile() as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.address)
        monkeypatch.setenv(access.MIRROR, serving.address)
        yield serving


def told(**changed):
    """What an honest hub would say of the network, but for the large file's changes."""
    siblings = [
        {"rfilename": f.path, "size": f.size, "lfs": {"sha256": "1" * 64, "size": f.size}} for f in NETWORK.files
    ]
    siblings[1] |= changed
    return {"sha": NETWORK.revision, "siblings": siblings}


def lfs(**changed):
    return {"lfs": {"sha256": "1" * 64, "size": SIZE} | changed}


DIGESTS = [
    OUTSIDE,
    "/etc/passwd",
    "..\\..\\outside",
    "CON",
    "1" * 63,
    "1" * 65,
    "A" * 64,
    "1" * 63 + "\n",
    "1" * 64 + "/x",
    "1" * 63 + "g",
    "1" * 63 + "\u0661",
    "\x00" * 64,
    "\ud800" * 64,
    "." * 64,
    17,
    1.5,
    True,
    ["1" * 64],
    {"1": 1},
]
SIZES = [-1, 0.5, 1e300, True, "600000", [], 1 << 41, 10**400, SIZE * 50]


@pytest.mark.parametrize(
    "changed",
    [
        *(lfs(sha256=each) for each in DIGESTS),
        *({"lfs": None, "blobId": each} for each in DIGESTS),
        *(lfs(size=each) for each in SIZES),
        *({"lfs": None, "blobId": "1" * 40, "size": each} for each in SIZES),
    ],
    ids=lambda changed: ascii(changed)[:60],
)
def test_a_digest_or_a_size_that_is_none_is_refused(hostile, refused, home, tmp_path, changed):
    before = set(tmp_path.rglob("*"))
    hostile.answer = lambda path: reply(json.dumps(told(**changed)).encode())
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and LARGE in failure.what and hostile.address in failure.what
    assert str(failure).isprintable() and len(str(failure)) < 1000
    assert not [p for p in set(tmp_path.rglob("*")) - before if p.is_file() and not p.is_relative_to(home / "models")]


ANSWERS = {
    "no object": b"[]",
    "no json": b"<html>",
    "not utf-8": b"\xff\xfe{}",
    "nested": COUNTLESS,
    "nested objects": b'{"a":' * 50_000,
    "a long number": b'{"sha": ' + b"9" * 100_000 + b"}",
    "no siblings": json.dumps({"sha": NETWORK.revision}).encode(),
    "siblings that are none": json.dumps({"sha": NETWORK.revision, "siblings": {"a": 1}}).encode(),
    "odd siblings": json.dumps({"sha": NETWORK.revision, "siblings": [None, 1, "x", [], {"rfilename": {}}]}).encode(),
    "a file twice": json.dumps({"sha": NETWORK.revision, "siblings": told()["siblings"] * 2}).encode(),
    "another revision": json.dumps({"sha": "../../x\x1b[2J"}).encode(),
    "no revision": json.dumps({"sha": None}).encode(),
    "empty": b"",
}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_none_of_the_hubs(hostile, refused, body):
    hostile.answer = lambda path: reply(body)
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and hostile.address in failure.what
    assert str(failure).isprintable() and len(str(failure)) < 1000


@pytest.mark.parametrize("revision", [OUTSIDE, "main", "F" * 40, "f" * 39, "f" * 41, "", None, 7, ["f" * 40], "CON"])
def test_the_newest_revision_must_be_one(hostile, refused, revision):
    asked = []
    hostile.answer = lambda path: reply(json.dumps({"sha": revision, "lastModified": "\x1b[2J"}).encode())
    failure = refused(notes.at(NETWORK, ""), ask_revision=lambda *told: asked.append(told) or True)
    assert "returns no revision" in failure.what and asked == []


def test_an_endless_answer_is_left(hostile, refused):
    def endless(path):
        yield from reply(b"{", Content_Length=None)
        while True:
            yield b" " * (1 << 16)

    hostile.answer = endless
    assert "than 4 MiB" in refused(NETWORK).what


@pytest.mark.parametrize("model", [NETWORK, FIXED], ids=["hub", "address"])
def test_a_compressed_answer_is_not_unpacked(hostile, refused, model):
    bomb = gzip.compress(bytes(1 << 24))
    hostile.answer = lambda path: reply(bomb, Content_Encoding="gzip")
    assert "compressed" in refused(model).what


@pytest.mark.parametrize("model", [NETWORK, FIXED], ids=["hub", "address"])
@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "http://[", "//", "", "/again"]
)
def test_nothing_follows_where_an_answer_leads_astray(hostile, refused, model, location):
    hostile.answer = lambda path: reply(status="302 Found", Location=location)
    failure = refused(model)
    assert failure.code == exit_codes.MISSING and failure.what.count("http") <= 3
    assert len(hostile.asked) <= access.REDIRECTS + 2


@pytest.mark.slow
@pytest.mark.parametrize("model", rest_slow([NETWORK, FIXED]), ids=["hub", "address"])
def test_a_server_that_drips_is_left(hostile, refused, monkeypatch, model):
    def drip(path):
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            time.sleep(0.02)
            yield b"X-A: b\r\n"

    def drip_body(path):
        yield from reply(b" ", Content_Length=str(SIZE))
        while True:
            time.sleep(0.02)
            yield b" "

    monkeypatch.setattr(transfer, "WINDOW", 0.3)
    monkeypatch.setattr(transfer, "_ATTEMPTS", 2)
    for hostile.answer in (drip, drip_body):
        begun = time.monotonic()
        failure = refused(model)
        assert failure.code == exit_codes.MISSING and time.monotonic() - begun < 10
        assert "in time" in failure.what or "too slowly" in failure.what


def test_what_drips_can_be_cancelled_at_once(hostile, refused):
    def silent(path):
        time.sleep(20)
        yield b""

    def check():
        if hostile.asked:
            raise TimeoutError("cancelled")

    hostile.answer = silent
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="cancelled"):
        refused(NETWORK, check=check)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("kind", ["too long", "endless", "no length"])
def test_more_than_was_told_is_not_taken(hostile, refused, kind):
    def answer(path):
        if path.startswith("/api/"):
            yield from reply(json.dumps(told()).encode())
            return
        yield from reply(status="200 OK", Content_Length=None if kind != "too long" else str(SIZE * 3))
        for _ in range(SIZE * 3 // 1000 if kind != "endless" else 10**9):
            yield bytes(1000)

    hostile.answer = answer
    assert "sends more of" in refused(NETWORK).what
    assert max(partials(), default=0) <= SIZE


@pytest.mark.parametrize("told_range", ["bytes 0-9/10", "bytes 7-", "", "items 1-2/3", "416"])
@pytest.mark.parametrize("kind", ["hub", "address"])
def test_a_server_that_goes_on_elsewhere_sends_all_again(hostile, served, get, monkeypatch, told_range, kind):
    """A wrong range must neither be taken nor stand in the way for ever."""
    sent = []
    model, content = (NETWORK, expected()[LARGE]) if kind == "hub" else (FIXED, BYTES)
    path = LARGE if kind == "hub" else FIXED.files[0].path

    def answer(asked):
        sent.append(asked)
        if asked.startswith("/api/"):
            import hashlib

            siblings = [
                {"rfilename": n, "size": len(c), "lfs": {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)}}
                for n, c in expected().items()
            ]
            return reply(json.dumps({"sha": NETWORK.revision, "siblings": siblings}).encode())
        _, headers = hostile.asked[-1]
        if not asked.endswith(path):
            return reply(expected()[asked.partition(NETWORK.revision + "/")[2]])
        if "range" in headers:
            if told_range == "416":
                return reply(status="416 Range Not Satisfiable")
            return reply(content[5:], status="206 Partial Content", Content_Range=told_range)
        if sum(each.endswith(path) for each in sent) == 1:
            return reply(content[:100_000], Content_Length=str(len(content)))
        return reply(content)

    hostile.answer = answer
    get(model)
    assert found(model)[path] == content


def test_what_a_server_calls_its_error_is_not_printed_raw(hostile, refused):
    hostile.answer = lambda path: reply(status="404 \x1b[2J\x07 http://me:s3cr3t@mirror/ " + "x" * 5000)
    for model in (NETWORK, FIXED):
        failure = refused(model)
        assert str(failure).isprintable() and "s3cr3t" not in str(failure) and len(str(failure)) < 1000


NO_HTTP = [
    b"",
    b"\x00\xff\xfe",
    b"HTTP/9.9 999 x\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000,
]


@pytest.mark.parametrize("head", NO_HTTP, ids=lambda head: ascii(head[:20]))
def test_something_that_speaks_no_http(hostile, refused, monkeypatch, head):
    monkeypatch.setattr(transfer, "_ATTEMPTS", 2)
    hostile.answer = lambda path: [head]
    for model in (NETWORK, FIXED):
        failure = refused(model)
        assert failure.code == exit_codes.MISSING and str(failure).isprintable() and len(str(failure)) < 1000
