"""Who is asked, who is given a token, and where an answer may lead."""

import base64
import os

import pytest

from inference.common.failures import Failure
from inference.contract import exit_codes, records
from inference.models import access, notes, transfer
from inference.models.access import Server
from tests.inference.models.test_address import FIXED
from tests.inference.support.hostile import Hostile, reply
from tests.inference.support.small_models import LARGE, NETWORK, expected, found

SECRET = "s3cr3t"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def written(home):
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


# Addresses


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("https://huggingface.co/", Server("https://huggingface.co")),
        ("HTTP://Mirror:8080/hub/", Server("http://Mirror:8080/hub")),
        ("https://me:s3cr3t@mirror", Server("https://mirror", basic("me", SECRET))),
        ("https://me:s%40%2Fb@mirror/x", Server("https://mirror/x", basic("me", "s@/b"))),
        ("https://me:s@t@[::1]:8/x", Server("https://[::1]:8/x", basic("me", "s@t"))),
        ("https://s3cr3t@mirror", Server("https://mirror", basic(SECRET, ""))),
    ],
)
def test_an_address_and_what_it_holds(text, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", text)
    assert access.hub() == server


@pytest.mark.parametrize(
    "text",
    [
        "https://mirror/hub?token=s3cr3t",
        "https://mirror#s3cr3t",
        "https://me:s3/s3cr3t@mirror",
        "https://me:s3cr3t@",
        "https://me:s3cr3t@mirror\\x",
        "https://me:s3cr3t@mir ror",
        "https://me:s3cr3t@mirror/\x1b[2J",
        "ftp://me:s3cr3t@mirror",
        "file:///etc/s3cr3t@x",
        "me:s3cr3t@mirror",
        "//me:s3cr3t@mirror",
        "https://",
    ],
)
@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "FATHOM_WEIGHTS_MIRROR"])
def test_what_is_no_address_is_said_without_the_password(text, variable, monkeypatch, refused):
    monkeypatch.setenv(variable, text)
    failure = refused(NETWORK if variable == "HF_ENDPOINT" else FIXED)
    assert "is not an address of a" in failure.what and variable in str(failure)
    assert SECRET not in str(failure) and "\x1b" not in str(failure)


@pytest.mark.parametrize(
    ("address", "location", "target"),
    [
        ("https://hub/a/b", "https://cdn/c?signed=1", "https://cdn/c?signed=1"),
        ("https://hub/a/b", "/c", "https://hub/c"),
        ("http://hub/a", "https://hub/a", "https://hub/a"),
        ("http://hub/a", "http://cdn/a", "http://cdn/a"),
        ("https://hub/a", "http://hub/a", None),
        ("https://hub/a", "http://localhost/a", None),
        ("https://hub/a", "file:///etc/passwd", None),
        ("https://hub/a", "ftp://hub/a", None),
        ("https://hub/a", "data:text/plain,x", None),
        ("https://hub/a", "javascript:x", None),
        ("https://hub/a", "https://hub:99999/a", None),
        ("https://hub/a", "https://[/a", None),
        ("https://hub/a", "https://me:s3cr3t@cdn/a", None),
    ],
)
def test_where_an_answer_may_lead(address, location, target):
    if target:
        assert access.redirect_target(address, location) == target
    else:
        with pytest.raises(access.RedirectError) as caught:
            access.redirect_target(address, location)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://hub", "https://HUB:443/x", True),
        ("https://hub.", "https://hub/x", True),
        ("https://hub", "http://hub", False),
        ("https://hub", "https://hub:8443", False),
        ("https://hub", "https://hub.evil", False),
        ("https://hub", "https://evil/@hub", False),
        ("https://127.0.0.1", "https://localhost", False),
    ],
)
def test_what_is_one_server(one, other, same):
    assert access.same_server(one, other) == same


def test_the_hub_is_the_hub_alone():
    assert access.is_hub("https://HuggingFace.co/some/path")
    for other in (
        "http://huggingface.co",
        "https://huggingface.co.evil",
        "https://evil/huggingface.co",
        "",
        "https://[",
    ):
        assert not access.is_hub(other)


# Tokens


@pytest.mark.parametrize("way", ["environment", "file", "netrc"])
def test_the_hubs_token_goes_to_no_mirror(hub, get, home, monkeypatch, tmp_path, way):
    if way == "environment":
        monkeypatch.setenv("HF_TOKEN", SECRET)
    elif way == "file":
        (tmp_path / "token").write_text(SECRET)
    else:
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
    get(NETWORK)
    assert found() == expected()
    assert {request.authorization for request in hub.log} == {None}


def test_a_gated_mirror_says_where_its_token_goes(hub, refused, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    hub.faults.gated = {NETWORK.repository}
    failure = refused(NETWORK)
    assert "FATHOM_HUB_MIRROR_TOKEN" in failure.hint and "HF_TOKEN is sent to the hub only" in failure.hint
    monkeypatch.setenv("FATHOM_HUB_MIRROR_TOKEN", "another")
    failure = refused(NETWORK)
    assert "account of your token" in failure.what and "administrator of the mirror" in failure.hint
    assert SECRET not in str(failure)


def test_a_mirrors_own_token_goes_to_it_alone(hub, get, home, monkeypatch):
    hub.faults.gated, hub.faults.tokens = {NETWORK.repository}, {SECRET}
    monkeypatch.setenv("FATHOM_HUB_MIRROR_TOKEN", SECRET)
    get(NETWORK)
    assert found() == expected() and SECRET.encode() not in written(home)
    for request in hub.log:
        assert request.authorization == (None if "/content/" in request.path else f"Bearer {SECRET}")


def test_a_mirrors_token_does_not_go_to_the_hub(real_hub, get, monkeypatch):
    monkeypatch.setenv("FATHOM_HUB_MIRROR_TOKEN", SECRET)
    get(NETWORK)
    assert {request.authorization for request in real_hub.log} == {None}


@pytest.mark.parametrize("way", ["option", "environment"])
def test_no_token_goes_over_the_network_in_plain_http(refused, monkeypatch, way):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid")
    if way == "environment":
        monkeypatch.setenv("FATHOM_HUB_MIRROR_TOKEN", SECRET)
    failure = refused(NETWORK, token=SECRET if way == "option" else None)
    assert failure.code == exit_codes.USAGE and "plain http" in failure.what and SECRET not in str(failure)


def test_a_token_for_this_computer_takes_no_way_over_a_proxy(hub, get, monkeypatch):
    def never(path):
        raise AssertionError(path)

    with Hostile(never) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.setenv("NO_PROXY", "localhost")
        monkeypatch.setenv("no_proxy", "localhost")
        get(NETWORK, token=SECRET)
        assert found() == expected() and proxy.asked == []


@pytest.mark.parametrize("token", ["two words", "hf_a\nInjected: yes", "hf_\x1b[2J", "hf_ü", "x" * 5000])
@pytest.mark.parametrize("way", ["option", "environment"])
def test_what_is_no_token_is_said_and_not_shown(hub, refused, monkeypatch, token, way):
    if way == "environment":
        monkeypatch.setenv("FATHOM_HUB_MIRROR_TOKEN", token)
    failure = refused(NETWORK, token=token if way == "option" else None)
    assert failure.code == exit_codes.USAGE and "The token is invalid" in failure.what
    assert token not in str(failure) and hub.log == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever runs this may read everything")
def test_a_token_file_that_cannot_be_read(real_hub, refused, tmp_path):
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0)
    assert "cannot be read" in refused(NETWORK).what


def test_a_token_file_that_is_none(real_hub, refused, tmp_path):
    (tmp_path / "token").write_bytes(b"\xff\xfe" + SECRET.encode())
    failure = refused(NETWORK)
    assert failure.code == exit_codes.USAGE and "cannot be read" in failure.what and SECRET not in str(failure)


# Passwords in a mirror's address


def test_a_password_is_sent_to_the_mirror_and_neither_written_nor_shown(hub, get, home, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://me:{SECRET}@127.0.0.1:{hub.port}")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_hub")
    open_one = notes.at(NETWORK, "")
    heard = get(open_one, ask_revision=lambda *_: True)
    assert found(open_one) == expected()
    for request in hub.log:
        assert request.authorization == (None if "/content/" in request.path else basic("me", SECRET))
    lock, pin = notes.read_lock(open_one), notes.read_pin(open_one)
    assert lock.source == pin.source == hub.endpoint
    for text in (written(home).decode("latin-1"), str(heard)):
        assert SECRET not in text and "me:" not in text and basic("me", SECRET)[6:] not in text


@pytest.mark.parametrize("status", [401, 403, 404, 407, 418, 429, 500, 503])
def test_no_answer_brings_the_password_to_light(hub, get, refused, monkeypatch, status):
    monkeypatch.setenv("HF_ENDPOINT", f"http://me:{SECRET}@127.0.0.1:{hub.port}")
    hub.faults.status = {"/": status}
    failure = refused(NETWORK)
    assert SECRET not in f"{failure} {get.heard}" and f"http://127.0.0.1:{hub.port}" in str(failure)


def test_a_mirror_that_is_not_there_does_not_bring_it_to_light(get, refused, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://me:{SECRET}@127.0.0.1:9")
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    monkeypatch.setenv("FATHOM_WEIGHTS_MIRROR", f"http://me:{SECRET}@127.0.0.1:9/x")
    for model in (NETWORK, FIXED):
        failure = refused(model)
        assert "http://127.0.0.1:9" in failure.what and SECRET not in f"{failure} {get.heard}"


def test_what_an_older_fathom_wrote_down_is_not_shown_again(hub, get, refused):
    get(NETWORK)
    path = notes.lock_path(NETWORK)
    path.write_text(path.read_text().replace("127.0.0.1", f"me:{SECRET}@127.0.0.1"))
    assert SECRET in path.read_text() and notes.read_lock(NETWORK).source == hub.endpoint
    (notes.folder() / "verified").rename(notes.folder() / "gone")
    hub.faults.wrong_checksum = {LARGE}
    (found_file := next(notes.folder().parent.rglob(f"snapshots/*/{LARGE}"))).unlink()
    assert not found_file.exists() and SECRET not in str(refused(NETWORK))
    hub.faults.wrong_checksum = set()
    get(NETWORK)
    assert SECRET not in path.read_text()


def test_an_older_note_of_a_revision_is_cleaned_as_well():
    pin = notes.Pin(
        repository="a/b", revision=notes.UNKNOWN, chosen="user", source=f"https://me:{SECRET}@mirror", recorded=""
    )
    assert pin.source == "https://mirror" and SECRET not in records.dumps(pin)


def test_a_plain_mirrors_password_goes_to_it_alone(get, home, monkeypatch):
    body = b"x" * FIXED.files[0].size

    def answer(path):
        if path.startswith("/elsewhere"):
            return reply(body)
        return reply(status="302 Found", Location=f"{server.other}/elsewhere")

    with Hostile(answer) as server:
        monkeypatch.setenv("FATHOM_WEIGHTS_MIRROR", f"http://me:{SECRET}@127.0.0.1:{server.port}/deep/")
        with pytest.raises(Failure) as caught:
            get(FIXED)
        assert "damaged" in caught.value.what and SECRET not in f"{caught.value} {get.heard}"
        (first, told), (second, then) = server.asked[:2]
        assert first.startswith("/deep/somebody/network/") and told["authorization"] == basic("me", SECRET)
        assert second == "/elsewhere" and "authorization" not in then
    assert SECRET.encode() not in written(home)
    assert access.MIRROR == "FATHOM_WEIGHTS_MIRROR"


@pytest.mark.parametrize(
    "proxy", ["http://me:s3cr3t@127.0.0.1:9", "ht!tp://me:s3cr3t@proxy", "me:s3cr3t@127.0.0.1:9", "s3cr3t"]
)
@pytest.mark.parametrize("model", [NETWORK, FIXED], ids=["hub", "address"])
def test_no_proxy_brings_its_password_to_light(get, refused, monkeypatch, proxy, model):
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.invalid")
    monkeypatch.setenv("FATHOM_WEIGHTS_MIRROR", "https://mirror.invalid")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    failure = refused(model)
    assert failure.code == exit_codes.MISSING and failure.what.endswith(".")
    assert proxy == SECRET or SECRET not in f"{failure} {get.heard}"


def test_what_nobody_foresaw_shows_no_password():
    from inference.common import failures

    error = RuntimeError("no route to https://me:s3cr3t@mirror/hub?token=s3cr3t")
    assert SECRET not in failures.explain(error).message and "https://mirror/hub" in failures.explain(error).message
