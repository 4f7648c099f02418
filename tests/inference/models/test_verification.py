"""Finding out whether weights are what they should be, and taking them away."""

import dataclasses
import errno
import hashlib
import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from inference.common.failures import Cancelled, Failure
from inference.contract import exit_codes
from inference.models import notes, store, verification
from tests.inference.support.small_models import LARGE, NETWORK, OTHER, content
from tests.inference.support.stored import put_in_place


@pytest.fixture
def placed(home):
    """The network as a download leaves it; gives its folder."""
    folder = put_in_place(NETWORK, {f.path: content(f.path, f.size) for f in NETWORK.files})
    verification.ready([NETWORK])
    return folder


def read_by(action):
    """How many bytes an action reads of the weights."""
    count = []
    real = verification._hash

    def counting(path, digest, check, report):
        return real(path, digest, check, lambda size: (count.append(size), report(size)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "_hash", counting)
        action()
    return sum(count)


@hypothesis.settings(max_examples=20)
@hypothesis.given(data=st.binary(max_size=3000), chunk=st.integers(1, 1000))
def test_a_digest_is_that_of_the_whole_however_it_is_read(tmp_path_factory, data, chunk):
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(data)
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "_CHUNK", chunk)
        assert verification.digest(path, report=told.append) == hashlib.sha256(data).hexdigest()
        assert verification.git_id(path) == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert sum(told) == len(data) and all(0 < size <= chunk for size in told)


def test_git_knows_the_same_id(tmp_path):
    """As `git hash-object` prints it."""
    (tmp_path / "file").write_bytes(b"hello\n")
    assert verification.git_id(tmp_path / "file") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_what_has_not_changed_is_not_read_again(placed):
    assert read_by(lambda: verification.ready([NETWORK])) == 0
    os.utime(placed / LARGE)
    assert read_by(lambda: verification.ready([NETWORK])) == 600_000
    assert read_by(lambda: verification.ready([NETWORK])) == 0
    assert read_by(lambda: verification.verify([NETWORK], emit=lambda event: None)) == 800_100


def test_a_stamp_does_not_outlive_the_lock_that_it_was_compared_with(placed):
    lock = notes.read_lock(NETWORK)
    sums = tuple(notes.Checksum(path=c.path, size=c.size, sha256="0" * 64) for c in lock.files)
    notes.write_lock(NETWORK, dataclasses.replace(lock, files=sums))
    with pytest.raises(Failure, match="damaged"):
        verification.ready([NETWORK])


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "sha256 is"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "1000 bytes, not 600000"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_verify_names_every_bad_file_and_the_command(placed, spoil, word):
    spoil(placed / LARGE)
    (placed / "config.json").write_bytes(bytes(100))
    with pytest.raises(Failure) as caught:
        verification.verify([NETWORK], emit=lambda event: None)
    assert caught.value.code == exit_codes.MISSING
    assert str(placed / LARGE) in caught.value.what and word in caught.value.what
    assert str(placed / "config.json") in caught.value.what and "more.safetensors" not in caught.value.what
    assert "models download network" in caught.value.hint


def test_a_truncated_file_is_noticed_without_reading(placed):
    (placed / LARGE).write_bytes(bytes(10))
    missing = []
    assert read_by(lambda: missing.extend(verification.missing_requirements([NETWORK]))) == 0
    assert "10 bytes, not 600000" in missing[0].what and "models download network" in missing[0].hint


def test_files_that_nobody_verified_are_not_trusted(home):
    folder = put_in_place(NETWORK, {f.path: content(f.path, f.size) for f in NETWORK.files})
    notes.forget(NETWORK)
    (requirement,) = verification.missing_requirements([NETWORK])
    assert (
        "never verified" in requirement.what
        and str(folder) in requirement.what
        and "models download network" in requirement.hint
    )
    with pytest.raises(Failure, match="never verified"):
        verification.ready([NETWORK])


def test_a_broken_lock_is_no_lock(placed):
    notes.lock_path(NETWORK).write_text("{")
    with pytest.raises(Failure, match=r"cannot be read.*models remove network"):
        verification.ready([NETWORK])
    (requirement,) = verification.missing_requirements([NETWORK])
    assert str(notes.lock_path(NETWORK)) in requirement.what and "remove" in requirement.hint
    store.remove(NETWORK, [])
    assert "Weights are missing" in verification.missing_requirements([NETWORK])[0].what


def test_verifying_can_be_cancelled(placed):
    with pytest.raises(Cancelled):
        verification.verify([NETWORK], emit=lambda event: None, check=cancel)


def cancel():
    raise Cancelled


def test_a_data_folder_that_cannot_be_written_serves_estimates(placed):
    (stamps,) = (notes.folder() / "verified").glob("*")
    stamps.unlink()
    stamps.mkdir()
    for _ in range(2):
        assert read_by(lambda: verification.ready([NETWORK])) == 800_100, "what cannot be noted is read each time"


@pytest.mark.parametrize("studio", [False, True])
def test_weights_that_may_not_be_read_are_said_to_be_so(placed, monkeypatch, tmp_path, studio):
    """Of a studio's share, or of a data folder that somebody else made."""
    if studio:
        monkeypatch.setenv("FATHOM_WEIGHTS", str(tmp_path))

    def closed(self, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "is_dir", closed)
    monkeypatch.setattr(Path, "is_file", closed)
    (missing,) = verification.missing_requirements([NETWORK])
    assert "cannot be read: permission is denied" in missing.what and missing.kind == "weights"
    with pytest.raises(Failure, match="permission is denied"):
        verification.ready([NETWORK])


def test_how_weights_stand(placed, home):
    def state(model=NETWORK):
        found = verification.model_status(model)
        return found.state, found.can_run, found.size(found.missing)

    assert state() == ("ready", True, 0)
    os.utime(placed / LARGE)
    assert state() == ("changed", True, 0)
    (placed / LARGE).unlink()
    assert state() == ("incomplete", False, 600_000)
    store.remove(NETWORK, [])
    assert state() == ("missing", False, 800_100)
    put_in_place(OTHER, {LARGE: bytes(50_000)}, accept=False)
    assert state(OTHER) == ("changed", False, 0)
    notes.accept(OTHER)
    assert state(OTHER) == ("changed", True, 0)
    notes.forget(OTHER)
    assert state(OTHER) == ("unverified", False, 0)


def test_removing_leaves_nothing_but_the_accepted_licence(placed, home):
    partial = store.repository_folder(NETWORK) / "blobs" / "abc.incomplete"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(bytes(1000))
    put_in_place(OTHER, {LARGE: bytes(50_000)})
    assert store.remove(NETWORK, [OTHER]) == 801_100
    assert not store.repository_folder(NETWORK).exists() and notes.read_lock(NETWORK) is None
    assert notes.accepted(NETWORK.licence)
    assert store.missing(OTHER) == [] and notes.read_lock(OTHER)
    assert store.remove(NETWORK, [OTHER]) == 0


def test_a_system_without_links_keeps_the_contents_under_their_names(hub, get, monkeypatch):
    from pathlib import Path

    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    get(NETWORK)
    path = store.folder(NETWORK) / LARGE
    assert path.is_file() and not path.is_symlink() and verification.problems_of(NETWORK) == {}
    path.write_bytes(bytes(5))
    get(NETWORK)
    assert verification.problems_of(NETWORK) == {}
    assert store.remove(NETWORK, []) == 800_100 and not store.repository_folder(NETWORK).exists()
