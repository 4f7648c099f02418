"""What the hub may answer in the place of weights, and the sentence that each becomes."""

import dataclasses
import json
import ssl
from pathlib import Path

import pytest

from inference.contract import exit_codes
from inference.models import notes, store, transfer
from tests.inference.support import hub as support
from tests.inference.support.hub import Hub
from tests.inference.support.small_models import LARGE, NETWORK, expected, found, partials

# What must not be taken


def test_a_corrupted_content_is_refused(hub, get, refused):
    hub.faults.corrupt = {LARGE}
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING
    assert LARGE in failure.what and "damaged" in failure.what
    assert LARGE not in found() and partials() == set()
    hub.faults.corrupt = set()
    get(NETWORK)
    assert found() == expected()


@pytest.mark.parametrize("path", [LARGE, "config.json"])
def test_a_checksum_that_the_content_has_not_is_an_error(hub, refused, path):
    hub.faults.wrong_checksum = {path}
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and path in failure.what and path not in found()


@pytest.mark.parametrize("path", [LARGE, "config.json"])
def test_the_hub_may_not_change_its_mind(hub, get, refused, path):
    get(NETWORK)
    before = notes.read_lock(NETWORK)
    (store.folder(NETWORK) / path).unlink()
    hub.faults.wrong_checksum = {path}
    failure = refused(NETWORK)
    assert "another checksum" in failure.what and path in failure.what and "models remove network" in failure.hint
    assert notes.read_lock(NETWORK) == before


def test_an_unknown_revision_is_never_replaced_by_another(hub, refused):
    strange = dataclasses.replace(NETWORK, revision="f" * 40)
    failure = refused(strange)
    assert failure.code == exit_codes.MISSING
    assert "does not know the revision " + "f" * 40 in failure.what and "third parties' published pins" in failure.what
    assert len(hub.log) == 1 and not any("main" in request.path for request in hub.log)
    checked = refused(dataclasses.replace(strange, revision_checked=True))
    assert "published pins" not in checked.what


def test_another_revision_than_asked_for_is_refused(hub, refused):
    hub.faults.other_commit = True
    assert "returned the revision " + "f" * 40 in refused(NETWORK).what


def test_a_file_that_the_revision_lacks_is_named(hub, served, refused):
    (served / NETWORK.repository / LARGE).unlink()
    failure = refused(NETWORK)
    assert f"no file {LARGE}" in failure.what and hub.sent() == 0


def test_a_mirror_without_checksums_is_refused(hub, refused):
    hub.faults.without_checksum = True
    assert "no checksums" in refused(NETWORK).what


def test_an_unknown_repository(hub, refused):
    failure = refused(dataclasses.replace(NETWORK, repository="nobody/nothing"))
    assert failure.code == exit_codes.MISSING and "nobody/nothing" in failure.what


# Tokens


def test_a_gated_repository_says_what_to_do(hub, refused):
    hub.faults.gated = {NETWORK.repository}
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING
    assert "accepting its terms" in failure.what
    assert f"{hub.endpoint}/{NETWORK.repository}" in failure.hint and "HF_TOKEN" in failure.hint
    wrong = refused(NETWORK, token="hf_wrong")
    assert "your token" in wrong.what and "hf_wrong" not in str(wrong)


@pytest.mark.parametrize("way", ["option", "environment", "file"])
def test_a_token_opens_it_and_goes_to_the_hub_alone(real_hub, get, home, monkeypatch, tmp_path, way):
    hub = real_hub
    hub.faults.gated, hub.faults.tokens = {NETWORK.repository}, {"hf_secret"}
    if way == "environment":
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
    elif way == "file":
        (tmp_path / "token").write_text("hf_secret\n")
    get(NETWORK, token="hf_secret" if way == "option" else None)
    assert found() == expected()
    for request in hub.log:
        assert request.authorization == (None if "/content/" in request.path else "Bearer hf_secret")
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"hf_secret" not in written


# The way to the hub


def test_a_hub_that_is_not_there(refused, monkeypatch):
    monkeypatch.setattr(transfer, "_FIRST_PAUSE", 0.001)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and "http://127.0.0.1:9 cannot be reached" in failure.what
    assert "HF_ENDPOINT" in failure.hint


@pytest.mark.parametrize("address", ["huggingface.co", "ftp://huggingface.co", "http://hub:port"])
def test_an_address_that_is_none(refused, monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    failure = refused(NETWORK)
    assert f"{address} is not an address of a hub" in failure.what and "HF_ENDPOINT" in failure.hint


def test_something_else_answers(hub, served, refused, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "<html>Welcome to the hotel</html>")
    assert "does not respond like the Hugging Face hub" in refused(NETWORK).what


@pytest.mark.parametrize(("status", "word"), [(404, "cannot find"), (407, "proxy"), (429, "too many"), (500, "(500)")])
def test_what_the_hub_answers_in_place_of_a_file(hub, refused, status, word):
    hub.faults.status = {"/resolve/": status}
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and word in failure.what and failure.what.endswith(".")


def test_a_proxy_that_is_not_there(hub, refused, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    failure = refused(NETWORK)
    assert hub.log == [] and "cannot be reached through the proxy 127.0.0.1:9" in failure.what
    assert "secret" not in str(failure)


def test_a_certificate_that_cannot_be_verified(served, refused, get, monkeypatch):
    pem = Path(support.__file__).with_name("certificate.pem")
    serving = Hub(served)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    serving.server.socket = context.wrap_socket(serving.server.socket, server_side=True)
    monkeypatch.setattr(Hub, "endpoint", property(lambda self: f"https://127.0.0.1:{self.port}"))
    monkeypatch.setattr(Hub, "content", property(lambda self: f"https://localhost:{self.port}"))
    with serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.endpoint)
        failure = refused(NETWORK)
        assert "certificate" in failure.what and "SSL_CERT_FILE" in failure.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        get(NETWORK)
    assert found() == expected()
