"""Downloads through huggingface_hub from a stand-in for the hub, over HTTP: what comes, and interruptions."""

import dataclasses
import errno
import hashlib
import shutil
from pathlib import Path

import pytest

from inference.common.failures import Cancelled
from inference.contract import events, exit_codes
from inference.models import notes, store, transfer, verification
from tests.inference.support.hub import PIECE
from tests.inference.support.small_models import LARGE, NETWORK, OTHER, SIZE, expected, found, partials


def contents_asked(hub):
    return [request for request in hub.log if request.sent or "/content/" in request.path]


# What should come


def test_exactly_the_files_that_are_needed_come_in_the_hub_caches_own_layout(hub, get):
    heard = get(NETWORK, OTHER)
    assert found() == expected() and found(OTHER) == expected(OTHER)
    repository = store.repository_folder(NETWORK)
    pointer = repository / "snapshots" / NETWORK.revision / "deep" / "er" / "more.safetensors"
    assert pointer.is_symlink() and not pointer.readlink().is_absolute()
    assert pointer.resolve() == repository / "blobs" / hashlib.sha256(pointer.read_bytes()).hexdigest()
    paths = " ".join(request.path for request in hub.log)
    assert not any(name in paths for name in (".bin", ".py", "README", "other.safetensors", "xet", "/main"))
    assert {request.method for request in hub.log} == {"GET"}
    done = [event for event in heard if isinstance(event, events.Progress)]
    assert done[-1].done == done[-1].total == sum(file.size for file in (*NETWORK.files, *OTHER.files))
    assert [event.done for event in done] == sorted(event.done for event in done)
    stages = [event.label for event in heard if isinstance(event, events.Stage)]
    assert stages[0] == f"Asking {hub.endpoint} for The network" and "Downloading The network (800 kB)" in stages


def test_the_library_itself_reads_what_was_downloaded(hub, get):
    import huggingface_hub

    get(NETWORK)
    cache = huggingface_hub.scan_cache_dir(store.cache_folder())
    (repository,) = cache.repos
    assert repository.repo_id == NETWORK.repository and not cache.warnings
    (revision,) = repository.revisions
    assert (revision.commit_hash, len(revision.files)) == (NETWORK.revision, 3)
    path = huggingface_hub.hf_hub_download(
        NETWORK.repository, LARGE, revision=NETWORK.revision, cache_dir=store.cache_folder(), local_files_only=True
    )
    assert path == str(store.folder(NETWORK) / LARGE)


def test_checksums_are_the_hubs_and_kept(hub, get):
    get(NETWORK)
    lock = notes.read_lock(NETWORK)
    assert (lock.origin, lock.source, lock.revision) == ("hub", hub.endpoint, NETWORK.revision)
    for path, data in expected().items():
        assert lock.of(path).sha256 == hashlib.sha256(data).hexdigest() and lock.of(path).size == len(data)
    git = hashlib.sha1(b"blob 100\0" + expected()["config.json"]).hexdigest()
    assert [each.git_id for each in lock.files] == [git, "", ""], "the hub keeps large files outside git"
    assert {weights.sha256 for weights in verification.ready([NETWORK])} == {each.sha256 for each in lock.files}


def test_what_is_there_is_not_asked_for_again(hub, get):
    get(NETWORK)
    hub.log.clear()
    heard = get(NETWORK)
    assert hub.log == [] and heard == []
    (store.folder(NETWORK) / "config.json").unlink()
    get(NETWORK)
    assert [request.path.rpartition("/")[2] for request in contents_asked(hub)] == ["config.json"]


def test_only_a_damaged_file_is_downloaded_again(hub, get):
    get(NETWORK)
    path = store.folder(NETWORK) / LARGE
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)
    hub.log.clear()
    get(NETWORK)
    assert found() == expected()
    assert hub.sent() == hub.sent(LARGE) == SIZE


def test_nobody_is_told_who_downloads(hub, get, monkeypatch):
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    get(NETWORK)
    assert {request.agent.partition("/")[0] for request in hub.log} == {"fathom"}
    assert not [request.path for request in hub.log if "telemetry" in request.path or "harness" in request.path]


# Interruptions


def test_a_lost_connection_is_taken_up_where_it_broke(hub, get):
    hub.faults.cut_after, hub.faults.cuts = 250_000, 2
    heard = get(NETWORK)
    assert found() == expected()
    asked = [request.range for request in hub.log if request.path.endswith(f"/content/{NETWORK.repository}/{LARGE}")]
    assert asked[0] is None and len(asked) == 3
    starts = [int(each.removeprefix("bytes=").removesuffix("-")) for each in asked[1:]]
    assert 0 < starts[0] <= 250_000 < starts[1] <= 500_000
    warned = [event.message for event in heard if isinstance(event, events.Warning)]
    assert len(warned) == 2 and "connection" in warned[0] and "Trying again (2 of 5)" in warned[0]


def test_a_connection_that_stays_lost_is_given_up_and_gone_on_from_later(hub, get, refused):
    hub.faults.cut_after = 0
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and "connection" in failure.what and "--from DIR" in failure.hint
    hub.faults.cut_after, hub.faults.cuts = 200_000, 1
    stop = iter(range(20))

    def tired():
        if next(stop, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        get(NETWORK, check=tired)
    (had,) = partials() - {0}
    hub.faults.cut_after = None
    hub.log.clear()
    get(NETWORK)
    assert found() == expected() and partials() == set()
    assert hub.sent(LARGE) == SIZE - had, "no byte came twice"
    assert hub.sent("config.json") == 0


def test_a_server_without_ranges_sends_all_again(hub, get):
    hub.faults.no_ranges, hub.faults.cut_after, hub.faults.cuts = True, 250_000, 1
    heard = get(NETWORK)
    assert found() == expected()
    done = [event.done for event in heard if isinstance(event, events.Progress)]
    assert done == sorted(done), "the bar never runs backwards"


def test_a_stalled_server_is_not_waited_for_for_ever(hub, refused, monkeypatch):
    monkeypatch.setattr(transfer, "_TIMEOUT", 0.05)
    hub.faults.silent = True
    failure = refused(NETWORK)
    assert failure.code == exit_codes.MISSING and "does not respond in time" in failure.what


def test_a_passing_error_of_the_hub_is_waited_out(hub, get):
    hub.faults.status, hub.faults.failures = {"/api/": 503, "config.json": 500}, 2
    heard = get(NETWORK)
    assert found() == expected()
    assert next(event.message for event in heard if isinstance(event, events.Warning)).startswith(
        f"{hub.endpoint} returned an error (503). Trying again"
    )


def test_remains_that_are_damaged_are_replaced(hub, get):
    """What a power cut left behind may hold anything."""
    blob = hashlib.sha256(expected()[LARGE]).hexdigest()
    partial = store.repository_folder(NETWORK) / "blobs" / f"{blob}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(100_000))
    heard = get(NETWORK)
    assert found() == expected()
    assert any("damaged; the file is downloaded again" in e.message for e in heard if isinstance(e, events.Warning))
    partial.write_bytes(bytes(SIZE + 1))  # longer than the file: of no use at all
    (store.folder(NETWORK) / LARGE).unlink()
    get(NETWORK)
    assert found() == expected()


def test_cancelling_leaves_what_has_come(hub, get):
    hub.faults.pause = 0.002
    heard = []

    def check():
        if hub.sent(LARGE) > 10 * PIECE:
            heard.append("cancelled")
            raise Cancelled

    with pytest.raises(Cancelled):
        get(NETWORK, check=check)
    assert heard and max(partials()) > 0
    assert not (notes.folder() / ".downloading").exists(), "the lock is given back"
    assert verification.missing_requirements([NETWORK])[0].hint == store.download_command(NETWORK)


# Licenses


def test_nothing_comes_before_the_licence_is_accepted(hub, refused, get):
    failure = refused(NETWORK, OTHER, accept=False)
    assert failure.code == exit_codes.UNSUPPORTED and hub.log == []
    assert "Test license, Other license" in failure.what and "https://example.org/licence" in failure.why
    assert failure.hint == "Accept them with --accept-license test-only --accept-license other-licence."
    assert notes.accepted(NETWORK.licence) is None


def test_a_licence_is_asked_for_once_and_recorded(hub, get):
    asked = []
    get(NETWORK, accept=False, ask=lambda model: asked.append(model) or True)
    kept = notes.accepted(NETWORK.licence)
    assert (kept.name, kept.repository, kept.revision) == ("test-only", NETWORK.repository, NETWORK.revision)
    assert kept.accepted[:2] == "20" and kept.fathom.count(".") == 2
    get(dataclasses.replace(OTHER, licence=NETWORK.licence), accept=False, ask=asked.append)
    assert asked == [NETWORK]
    assert notes.accepted(NETWORK.licence) == kept


# The disk


def test_room_is_asked_for_before_anything_comes(hub, get, refused, monkeypatch):
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=64_300_000))
    failure = refused(NETWORK)
    assert failure.code == exit_codes.BAD_OUTPUT and hub.sent() == 0
    assert "800 kB more" in failure.what and "64.3 MB left" in failure.what and "FATHOM_HOME" in failure.hint
    blob = hashlib.sha256(expected()[LARGE]).hexdigest()
    partial = store.repository_folder(NETWORK) / "blobs" / f"{blob}.incomplete"
    partial.write_bytes(expected()[LARGE][:550_000])
    get(NETWORK)  # only what is missing counts
    assert found() == expected()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_disk_that_fills_up_is_said_and_gone_on_from(hub, get, refused):
    blob = hashlib.sha256(expected()[LARGE]).hexdigest()
    partial = store.repository_folder(NETWORK) / "blobs" / f"{blob}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")  # a real ENOSPC of the system
    with open(partial, "wb", buffering=0) as full, pytest.raises(OSError) as error:
        full.write(b"x")
    assert error.value.errno == errno.ENOSPC
    failure = refused(NETWORK)
    assert failure.code == exit_codes.BAD_OUTPUT and "disk is full" in failure.what
    partial.unlink()
    get(NETWORK)
    assert found() == expected()


def test_a_closed_data_folder_is_said(refused, home):
    home.write_text("a file where the folder should be")
    failure = refused(NETWORK)
    assert failure.code == exit_codes.BAD_OUTPUT and str(home) in failure.what


def test_one_download_at_a_time(hub, refused):
    from inference.common import lock

    notes.folder().mkdir(parents=True)
    held = lock.acquire(notes.folder() / ".downloading")
    try:
        assert "Another run" in refused(NETWORK).what
    finally:
        held.release()
