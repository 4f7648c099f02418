"""Names, links and notes that others made: nothing outside the folder that the user named is read, written or lost."""

import dataclasses
import json
import os

import pytest

from inference.common.failures import Failure
from inference.contract import exit_codes, own_files
from inference.models import notes, store, trust, verification
from inference.models.notes import Checksum
from tests.inference.models.test_sources import as_cache
from tests.inference.support.small_models import HEAD, LARGE, NETWORK, SIZE, expected, found, write_models

OPEN = dataclasses.replace(NETWORK, revision="")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")


@pytest.fixture
def outside(tmp_path):
    """A folder that is none of Fathom's, and how to see that it is as it was."""
    folder = tmp_path / "outside"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in (LARGE, "config.json", "deep/er/more.safetensors", "1" * 64, "1" * 40, "x.incomplete", "note.txt"):
        (folder / name).write_text("somebody's own")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# Paths


@pytest.mark.parametrize(
    "path", ["model.safetensors", "deep/er/more.bin", "ünï/c.json", "console.txt", "a..b", ".hidden"]
)
def test_a_path_in_a_repository(path):
    trust.validate_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        "C:/x",
        "C:x",
        "\\\\server\\share",
        "a\\b",
        "a\x00b",
        "a\nb",
        "\x1b[2J",
        "CON",
        "con.txt",
        "a/NUL",
        "lpt1.json",
        "COM¹",
        "a/b.",
        "a /b",
        "a?",
        "a*",
        "a|b",
        '"',
        "x" * 201,
        "/".join("x" * 100 for _ in range(20)),
        "\ud800",
        None,
        7,
        ["a"],
    ],
    ids=ascii,
)
def test_what_is_no_path_in_a_repository(path):
    with pytest.raises(ValueError, match="path"):
        trust.validate_path(path)
    with pytest.raises(ValueError, match="path"):
        Checksum(path=path, size=1, sha256="1" * 64)


# Notes in a data folder that others write into


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../../../outside/" + "1" * 40},
        {"sha256": "A" * 64},
        {"git_id": "1" * 64, "sha256": ""},
        {"git_id": "../x", "sha256": ""},
        {"size": -1},
        {"size": 1 << 60},
        {"path": "../../x"},
        {"path": "CONFIG.JSON"},
    ],
    ids=str,
)
def test_a_lock_file_with_what_cannot_be_is_named(hub, get, refused, change):
    get(NETWORK)
    path = notes.lock_path(NETWORK)
    lock = json.loads(path.read_text())
    lock["files"][1] |= change
    path.write_text(json.dumps(lock))
    (store.folder(NETWORK) / LARGE).unlink()
    hub.log.clear()
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and str(path) in failure.what and hub.log == []
    assert "models remove network" in failure.hint


@pytest.mark.parametrize("revision", ["../../../outside", "main", "", "A" * 40, "CON"])
def test_a_note_of_a_revision_that_is_none_is_named(hub, get, refused, revision):
    get(OPEN, revisions={"network": NETWORK.revision})
    (note,) = (notes.folder() / "revisions").iterdir()
    note.write_text(json.dumps(json.loads(note.read_text()) | {"revision": revision}))
    assert str(note) in refused(OPEN).what
    with pytest.raises(Failure, match="cannot be read"):
        store.folder(OPEN)


@pytest.mark.parametrize("kind", ["pipe", "large", "folder", "bytes"])
def test_a_note_that_is_none_neither_hangs_nor_fills_the_memory(hub, get, kind):
    get(OPEN, revisions={"network": NETWORK.revision})
    for path in [path for path in notes.folder().rglob("*.json") if path.is_file()]:
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "large":
            path.touch()
            os.truncate(path, 1 << 40)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(b"\xff\xfe")
    with pytest.raises(Failure, match="cannot be read"):
        notes.read_pin(OPEN)
    with pytest.raises(Failure, match="cannot be read"):
        notes.read_lock(NETWORK)
    assert notes.read_stamps(NETWORK, store.cache_folder()).files == ()
    assert notes.accepted(OPEN.licence) is None


# Links in a folder that weights come from


@pytest.mark.parametrize("link", ["file", "folder", "owner"])
def test_a_link_out_of_the_folder_is_not_copied(get, refused, tmp_path, link, outside):
    folder = write_models(tmp_path / "served", OPEN)
    _lead_out(folder, link, outside)
    failure = refused(OPEN, source=folder)
    assert failure.code == exit_codes.MISSING and "a link to a file outside" in failure.what
    assert str(folder) in failure.what
    assert found(OPEN) == {} and notes.is_open(OPEN)


@pytest.mark.parametrize("link", ["file", "folder", "owner"])
def test_a_link_out_of_a_studios_folder_is_not_used(tmp_path, monkeypatch, link, outside):
    folder = write_models(tmp_path / "studio", OPEN)
    _lead_out(folder, link, outside)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    notes.accept(OPEN)
    requirement, *_ = verification.missing_requirements([OPEN])
    assert "a link to a file outside" in requirement.what
    with pytest.raises(Failure, match="a link to a file outside"):
        verification.ready([OPEN])
    assert not verification.model_status(OPEN).can_run


def _lead_out(folder, link, outside):
    owner = folder / "somebody"
    repository = folder / OPEN.repository
    if link == "file":
        (repository / LARGE).unlink()
        (repository / LARGE).symlink_to(outside / LARGE)
    elif link == "folder":
        repository.rename(folder / "gone")
        repository.symlink_to(outside)
    else:
        owner.rename(folder / "gone")
        (outside.parent / "owner").mkdir()
        (outside.parent / "owner" / "network").symlink_to(outside)
        owner.symlink_to(outside.parent / "owner")


def test_the_folder_itself_may_be_a_link_and_a_caches_own_links_stay(get, tmp_path, monkeypatch):
    cache = as_cache(tmp_path / "cache", notes.at(OPEN, HEAD))
    link = tmp_path / "link"
    link.symlink_to(cache)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(link))
    notes.accept(OPEN)
    verification.ready([OPEN])
    assert verification.missing_requirements([OPEN]) == []
    monkeypatch.delenv("FATHOM_WEIGHTS")
    get(OPEN, source=link)
    assert found(OPEN) == expected(OPEN)


def test_a_circle_of_links_is_said(get, refused, tmp_path):
    folder = write_models(tmp_path / "served", OPEN)
    path = folder / OPEN.repository / LARGE
    path.unlink()
    path.symlink_to(path)
    assert "is missing" in refused(OPEN, source=folder).what


@pytest.mark.parametrize("name", ["main", "..x", "A" * 40, "\x1b[2J", "f" * 39])
def test_a_folder_of_a_cache_that_is_named_by_no_revision_is_none(refused, tmp_path, name):
    cache = as_cache(tmp_path / "cache", notes.at(OPEN, HEAD))
    snapshots = next(cache.glob("*/snapshots"))
    (snapshots / HEAD).rename(snapshots / name)
    assert "contains no somebody/network" in refused(OPEN, source=cache).what and notes.is_open(OPEN)


def test_a_file_that_is_much_too_large_is_not_copied(refused, tmp_path):
    folder = write_models(tmp_path / "served", OPEN)
    os.truncate(folder / OPEN.repository / "config.json", 1 << 40)
    assert "have about 100" in refused(OPEN, source=folder).what


# Links in the data folder


@pytest.mark.parametrize("what", ["blobs", "snapshots", "revision", "repository", "deep"])
@pytest.mark.parametrize("action", ["download", "copy", "remove"])
def test_nothing_is_written_or_lost_behind_a_link(hub, get, refused, served, outside, what, action):
    repository = store.repository_folder(NETWORK)
    link = {
        "blobs": repository / "blobs",
        "snapshots": repository / "snapshots",
        "revision": repository / "snapshots" / NETWORK.revision,
        "repository": repository,
        "deep": repository / "snapshots" / NETWORK.revision / "deep",
    }[what]
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "deep" if what == "deep" else outside)
    if action == "remove":
        with pytest.raises(Failure, match="is not changed"):
            store.remove(NETWORK, [])
            pytest.skip("there was nothing to remove behind it")
    else:
        failure = refused(NETWORK, source=served if action == "copy" else None)
        assert "is not changed" in failure.what or "a link to a file outside" in failure.what
    assert link.is_symlink()


@pytest.mark.parametrize("kind", ["link", "pipe", "dangling"])
def test_a_planted_download_is_not_written_through(hub, get, outside, kind):
    import hashlib

    partial = store.repository_folder(NETWORK) / "blobs" / f"{hashlib.sha256(expected()[LARGE]).hexdigest()}.incomplete"
    partial.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.symlink_to(outside / ("note.txt" if kind == "link" else "new"))
    get(NETWORK)
    assert found() == expected() and not (outside / "new").exists()


def test_a_planted_copy_is_not_written_through(get, served, outside):
    copy = store.repository_folder(NETWORK) / "blobs" / f"copy-{os.getpid()}.incomplete"
    copy.parent.mkdir(parents=True)
    copy.symlink_to(outside / "note.txt")
    get(NETWORK, source=served)
    assert found() == expected()


def test_only_contents_of_its_own_are_swept(hub, get):
    get(NETWORK)
    blobs = store.repository_folder(NETWORK) / "blobs"
    (blobs / "somebody's notes.txt").write_text("x")
    (blobs / ("2" * 64)).write_text("named by nothing")
    assert store.remove(NETWORK, []) >= SIZE
    assert [path.name for path in blobs.iterdir()] == ["somebody's notes.txt"]


def test_the_store_may_be_a_link(hub, get, tmp_path):
    (tmp_path / "large disk").mkdir()
    store.cache_folder().parent.mkdir(parents=True)
    store.cache_folder().symlink_to(tmp_path / "large disk")
    get(NETWORK)
    assert found() == expected() and verification.missing_requirements([NETWORK]) == []
    assert store.remove(NETWORK, []) >= SIZE and list((tmp_path / "large disk").iterdir()) == []


def test_a_file_that_is_much_too_large_is_not_used(tmp_path, monkeypatch):
    folder = write_models(tmp_path / "studio", OPEN)
    os.truncate(folder / OPEN.repository / "config.json", 1 << 40)
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    with pytest.raises(Failure, match="not about 100"):
        verification.ready([OPEN])


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_note_is_not_written_through_what_was_planted(outside, kind, monkeypatch):
    monkeypatch.setattr(own_files.secrets, "randbelow", lambda below: 7)
    path = notes.folder() / "checksums" / "note.json"
    temporary = path.with_name(f".tmp-{os.getpid()}000000007-{path.name}")
    temporary.parent.mkdir(parents=True)
    if kind == "link":
        temporary.symlink_to(outside / "note.txt")
    else:
        os.mkfifo(temporary)
    with pytest.raises(Failure, match="of its own"):
        notes.write(path, "{}")
    assert not path.exists()
