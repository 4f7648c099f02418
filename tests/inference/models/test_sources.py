"""Weights from a folder in the place of the hub, and without any network."""

import dataclasses
import hashlib
import shutil
import socket

import pytest

from inference.common.failures import Failure
from inference.contract import depth_sequence, exit_codes
from inference.models import notes, store, verification
from tests.inference.support.small_models import LARGE, LICENCE, NETWORK, OTHER, content, write_models


@pytest.fixture
def no_network(monkeypatch):
    """Whoever opens a connection fails the test."""

    def refuse(*_):
        raise AssertionError("the network was touched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """A studio's folder with one of the two models."""
    folder = write_models(tmp_path / "studio", NETWORK)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    return folder


def as_cache(folder, model):
    """The same files as a Hugging Face cache has them."""
    repository = folder / f"models--{model.repository.replace('/', '--')}"
    for file in model.files:
        data = content(model.repository + file.path, file.size)
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob = repository / "blobs" / (hashlib.sha256(data).hexdigest() if file.path.endswith("safetensors") else git)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        pointer = repository / "snapshots" / model.revision / file.path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.symlink_to(blob)
    return folder


# Offline


@pytest.mark.parametrize("where", ["option", "environment"])
def test_offline_takes_what_is_there_and_asks_nobody(hub, get, no_network, monkeypatch, where, tmp_path):
    from inference.models import download

    if where == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert download.offline_is_set()
    with pytest.raises(Failure) as caught:
        get(NETWORK, offline=True)
    assert caught.value.code == exit_codes.MISSING
    assert "offline mode" in caught.value.what and "--from DIR" in caught.value.hint
    get(NETWORK, source=write_models(tmp_path / "disk", NETWORK), offline=True)
    get(NETWORK, offline=True)
    assert hub.log == [] and verification.missing_requirements([NETWORK]) == []


def test_an_estimate_asks_nobody(studio, no_network):
    notes.accept(NETWORK)
    assert verification.missing_requirements([NETWORK]) == []
    verification.ready([NETWORK])
    assert len(verification.ready([NETWORK])) == 3


# Copying from a folder


@pytest.mark.parametrize("layout", ["plain", "cache"])
def test_a_folder_is_copied_and_recorded_as_one(get, no_network, tmp_path, layout):
    folder = tmp_path / "disk"
    write_models(folder, NETWORK) if layout == "plain" else as_cache(folder, NETWORK)
    get(NETWORK, source=folder)
    shutil.rmtree(folder)
    for file in NETWORK.files:
        data = (store.folder(NETWORK) / file.path).read_bytes()
        assert data == content(NETWORK.repository + file.path, file.size)
    lock = notes.read_lock(NETWORK)
    assert (lock.origin, lock.source, len(lock.files)) == ("folder", str(folder), 3)
    assert verification.problems_of(NETWORK) == {}


def test_the_copies_names_are_those_of_a_download(hub, get, tmp_path):
    get(NETWORK)
    downloaded = {path.name for path in store.repository_folder(NETWORK).glob("blobs/*")}
    shutil.rmtree(store.cache_folder())
    notes.forget(NETWORK)
    get(NETWORK, source=write_models(tmp_path / "disk", NETWORK))
    assert {path.name for path in store.repository_folder(NETWORK).glob("blobs/*")} == downloaded


@pytest.mark.parametrize("size", [0, 100, 599_999])
def test_a_copy_that_is_cut_short_is_not_believed(get, tmp_path, monkeypatch, size):
    folder = write_models(tmp_path / "disk", NETWORK)
    path = folder / NETWORK.repository / LARGE
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    with pytest.raises(Failure, match=r"model.safetensors are damaged: ") as caught:
        get(NETWORK, source=folder)
    assert caught.value.code == exit_codes.MISSING and store.missing(NETWORK)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    with pytest.raises(Failure, match=r"model.safetensors are damaged: "):
        verification.ready([NETWORK])
    monkeypatch.delenv("FATHOM_WEIGHTS")
    path.write_bytes(whole)
    get(NETWORK, source=folder)  # nothing was recorded of what was refused
    assert not store.missing(NETWORK)


def test_a_copy_must_agree_with_what_the_hub_said_before(hub, get, tmp_path):
    get(NETWORK)
    folder = write_models(tmp_path / "disk", NETWORK)
    (store.folder(NETWORK) / LARGE).unlink()
    get(NETWORK, source=folder)
    assert notes.read_lock(NETWORK).origin == "hub"
    (store.folder(NETWORK) / LARGE).unlink()
    (folder / NETWORK.repository / LARGE).write_bytes(bytes(600_000))
    with pytest.raises(Failure, match=r"model.safetensors does not match the checksum") as caught:
        get(NETWORK, source=folder)
    assert caught.value.code == exit_codes.MISSING
    assert store.missing(NETWORK) == [LARGE]
    assert not list(store.repository_folder(NETWORK).glob("blobs/*.incomplete"))


def test_a_cache_whose_content_is_not_what_its_name_says_is_refused(get, tmp_path):
    folder = as_cache(tmp_path / "disk", NETWORK)
    (folder / "models--somebody--network" / "snapshots" / NETWORK.revision / LARGE).resolve().write_bytes(
        bytes(600_000)
    )
    with pytest.raises(Failure, match=r"model.safetensors are damaged: their sha256 is"):
        get(NETWORK, source=folder)


def test_copied_weights_that_the_hub_contradicts_later_are_an_error(hub, get, tmp_path):
    folder = write_models(tmp_path / "disk", NETWORK)
    (folder / NETWORK.repository / LARGE).write_bytes(content("another.safetensors", 600_000))
    get(NETWORK, source=folder)
    (store.folder(NETWORK) / "config.json").unlink()
    with pytest.raises(Failure, match=r"another checksum for model.safetensors"):
        get(NETWORK)
    assert notes.read_lock(NETWORK).origin == "folder"


def test_copied_weights_that_the_hub_confirms_later_are_the_hubs(hub, get, tmp_path):
    get(NETWORK, source=write_models(tmp_path / "disk", NETWORK))
    (store.folder(NETWORK) / "config.json").unlink()
    get(NETWORK)
    assert notes.read_lock(NETWORK).origin == "hub"
    assert hub.sent() == hub.sent("config.json") == 100, "what was copied is kept"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: shutil.rmtree(folder / "somebody"), ["contains no somebody/network", "Choose the folder"]),
        (lambda folder: (folder / NETWORK.repository / LARGE).unlink(), [LARGE, "is missing"]),
    ],
)
def test_a_folder_that_lacks_something_is_named(get, tmp_path, spoil, words):
    folder = write_models(tmp_path / "disk", NETWORK)
    spoil(folder)
    with pytest.raises(Failure) as caught:
        get(NETWORK, source=folder)
    assert caught.value.code == exit_codes.MISSING and str(folder) in caught.value.what
    for word in words:
        assert word in str(caught.value)


# A studio's folder


@pytest.mark.parametrize("layout", ["plain", "cache"])
def test_a_studios_folder_is_used_as_it_lies(tmp_path, monkeypatch, home, layout):
    folder = tmp_path / "studio"
    write_models(folder, NETWORK) if layout == "plain" else as_cache(folder, NETWORK)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    place = folder / NETWORK.repository if layout == "plain" else next(folder.glob("models--*/snapshots/*"))
    assert store.folder(NETWORK) == place and store.is_studios(NETWORK)
    assert store.folder(OTHER) == store.own_folder(OTHER), "what the studio lacks is downloaded"
    notes.accept(NETWORK)
    assert verification.missing_requirements([NETWORK]) == []
    read = []
    verification.ready([NETWORK], reading=read.append)
    verification.ready([NETWORK], reading=read.append)
    assert read == ["The network"], "in full once, then by size and time"
    recorded = {weights.file: weights.sha256 for weights in verification.ready([NETWORK])}
    assert recorded[LARGE] == hashlib.sha256((place / LARGE).read_bytes()).hexdigest()
    assert isinstance(verification.ready([NETWORK])[0], depth_sequence.Weights)
    assert not (home / "huggingface").exists()


def test_a_studios_licence_is_asked_for_as_well(studio, get, no_network):
    assert verification.missing_requirements([NETWORK])[0].what == "A license was not accepted yet: Test license."
    get(NETWORK)
    assert verification.missing_requirements([NETWORK]) == [] and notes.accepted(LICENCE)


def test_a_studios_damaged_file_is_said_and_left_alone(studio, get):
    notes.accept(NETWORK)
    verification.ready([NETWORK])
    path = studio / NETWORK.repository / LARGE
    path.write_bytes(bytes(600_000))
    with pytest.raises(Failure) as caught:
        verification.ready([NETWORK])
    assert str(path) in caught.value.what and "FATHOM_WEIGHTS" in caught.value.hint
    with pytest.raises(Failure):
        get(NETWORK)
    assert path.read_bytes() == bytes(600_000)
    path.unlink()
    assert "The network (600 kB, Test license)" in verification.missing_requirements([NETWORK])[0].what


def test_a_clone_without_its_large_files_is_recognized(studio):
    path = studio / NETWORK.repository / LARGE
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 600000\n")
    notes.accept(NETWORK)
    requirement, *_ = verification.missing_requirements([NETWORK])
    assert str(path) in requirement.what and "git lfs pull" in requirement.what


def test_a_studios_folder_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_WEIGHTS", str(tmp_path / "gone"))
    (requirement,) = verification.missing_requirements([NETWORK])
    assert "gone, set in FATHOM_WEIGHTS, is not a folder" in requirement.what and "clear it" in requirement.hint


def test_two_models_of_one_repository_share_what_they_have_in_common(hub, get):
    from inference.models import store

    part = dataclasses.replace(NETWORK, name="part", files=NETWORK.files[:2])
    get(NETWORK)
    hub.log.clear()
    get(part)
    assert hub.sent() == 0, "the files are there; only their checksums are asked for"
    store.remove(NETWORK, [part])
    assert verification.problems_of(part) == {} and store.missing(NETWORK) == ["deep/er/more.safetensors"]
    freed = store.remove(part, [NETWORK])
    assert freed == 0, "the other model still names them"
    assert store.remove(part, []) == 600_100
    assert not store.repository_folder(NETWORK).exists()
