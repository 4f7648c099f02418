"""Weights that Fathom does not fix the revision of: chosen by a person, noted, and never another one."""

import dataclasses

import pytest

from inference.contract import exit_codes
from inference.models import notes, store, verification
from tests.inference.models.test_sources import as_cache
from tests.inference.support.small_models import HEAD, LARGE, NETWORK, content, expected, found, write_models

OPEN = dataclasses.replace(NETWORK, revision="")
LATER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture
def served(tmp_path):
    return write_models(tmp_path / "served", OPEN)


def test_the_newest_is_never_taken_unasked(hub, refused):
    failure = refused(OPEN)
    assert failure.code == exit_codes.UNSUPPORTED
    assert f"does not fix the revision of {OPEN.repository}" in failure.what and f"{HEAD} of 2025-01-31" in failure.what
    assert f"--revision network={HEAD}" in failure.hint
    assert hub.sent() == 0 and not any("main" in request.path for request in hub.log)
    assert notes.is_open(OPEN) and notes.accepted(OPEN.licence) is None, "nothing is noted of what did not come"
    assert (store.used_revision(OPEN), notes.is_open(OPEN), notes.read_pin(OPEN)) == (notes.UNKNOWN, True, None)


def test_a_named_revision_is_taken_and_stays(hub, get):
    get(OPEN, revisions={"network": HEAD})
    assert found(OPEN) == expected(OPEN) and store.folder(OPEN).name == HEAD
    assert {weights.revision for weights in verification.ready([OPEN])} == {HEAD}
    assert notes.accepted(OPEN.licence).revision == HEAD
    pin = notes.read_pin(OPEN)
    assert (store.used_revision(OPEN), pin.chosen, pin.source) == (HEAD, "user", hub.endpoint)
    hub.faults.newest = LATER
    (store.folder(OPEN) / LARGE).unlink()
    get(OPEN)
    assert found(OPEN) == expected(OPEN) and store.folder(OPEN).name == HEAD
    assert verification.missing_requirements([OPEN]) == []


def test_a_person_may_take_the_newest(hub, get):
    asked = []

    def yes(model, revision, day):
        asked.append((model.name, revision, day))
        return True

    get(OPEN, ask_revision=yes)
    assert asked == [("network", HEAD, "2025-01-31")] and notes.revision(OPEN) == HEAD
    get(OPEN, ask_revision=yes)
    assert len(asked) == 1


def test_a_broken_off_download_goes_on_at_the_same_revision(hub, get, refused):
    hub.faults.status = {"/content/": 404}
    refused(OPEN, revisions={"network": HEAD})
    assert notes.revision(OPEN) == HEAD
    hub.faults.status, hub.faults.newest = {}, LATER
    get(OPEN)
    assert found(OPEN) == expected(OPEN) and store.folder(OPEN).name == HEAD


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"network": "main"}, "'main' is not a revision of network"),
        ({"network": HEAD[:12]}, "full commit hash"),
        ({"nobody": HEAD}, "not among the weights to download"),
    ],
)
def test_what_is_no_commit_is_refused_before_anything_is_asked(hub, refused, named, words):
    failure = refused(OPEN, revisions=named)
    assert failure.code == exit_codes.USAGE and words in failure.what and hub.log == []


def test_a_fixed_revision_takes_no_other(hub, refused):
    failure = refused(NETWORK, revisions={"network": LATER})
    assert failure.code == exit_codes.USAGE and "accepts no other" in failure.what and hub.log == []


def test_a_revision_that_the_hub_does_not_know_is_not_noted(hub, refused):
    failure = refused(OPEN, revisions={"network": LATER})
    assert failure.code == exit_codes.MISSING and f"does not know the revision {LATER}" in failure.what
    assert "published pins" not in failure.what and "/somebody/network/commits" in failure.hint
    assert notes.is_open(OPEN)


def test_another_revision_only_after_the_first_was_removed(hub, get, refused):
    get(OPEN, revisions={"network": HEAD})
    failure = refused(OPEN, revisions={"network": LATER})
    assert failure.code == exit_codes.USAGE and f"has been at the revision {HEAD}" in failure.what
    assert "models remove network" in failure.hint
    assert store.remove(OPEN, []) > 0 and notes.is_open(OPEN) and verification.missing_requirements([OPEN])
    assert not store.repository_folder(OPEN).exists() and notes.read_lock(OPEN) is None


def test_a_note_that_cannot_be_read_is_named(hub, get, refused, home):
    get(OPEN, revisions={"network": HEAD})
    (note,) = (home / "models" / "revisions").iterdir()
    note.write_text("{")
    failure = refused(OPEN)
    assert failure.code == exit_codes.MISSING and str(note) in failure.what
    (requirement,) = verification.missing_requirements([OPEN])
    assert str(note) in requirement.what


# From folders


def test_a_cache_tells_its_revision(get, tmp_path):
    get(OPEN, source=as_cache(tmp_path / "cache", notes.at(OPEN, LATER)))
    assert found(OPEN) == expected(OPEN) and store.folder(OPEN).name == LATER
    assert notes.read_pin(OPEN).chosen == "folder"
    assert {weights.revision for weights in verification.ready([OPEN])} == {LATER}


def test_a_plain_folder_tells_none_which_is_said(get, refused, hub, served):
    get(OPEN, source=served)
    assert found(OPEN) == expected(OPEN) and verification.missing_requirements([OPEN]) == []
    assert {weights.revision for weights in verification.ready([OPEN])} == {notes.UNKNOWN}
    (store.folder(OPEN) / LARGE).unlink()
    failure = refused(OPEN)
    assert failure.code == exit_codes.MISSING and "without a revision" in failure.what and hub.log == []
    get(OPEN, source=served)
    assert found(OPEN) == expected(OPEN)


def test_the_user_may_know_the_revision_of_a_plain_folder(get, served):
    get(OPEN, source=served, revisions={"network": LATER})
    assert store.folder(OPEN).name == LATER and notes.read_pin(OPEN).chosen == "user"


def test_a_folder_without_the_model_notes_nothing(refused, tmp_path):
    assert "contains no somebody/network" in refused(OPEN, source=tmp_path).what and notes.is_open(OPEN)


@pytest.mark.parametrize("layout", ["plain", "cache"])
def test_a_studios_folder_is_used_where_it_lies(layout, served, tmp_path, monkeypatch):
    folder = served if layout == "plain" else as_cache(tmp_path / "cache", notes.at(OPEN, LATER))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(folder))
    notes.accept(OPEN)
    assert store.is_studios(OPEN) and verification.missing_requirements([OPEN]) == []
    verification.ready([OPEN])
    told = notes.UNKNOWN if layout == "plain" else LATER
    assert {weights.revision for weights in verification.ready([OPEN])} == {told}
    assert store.used_revision(OPEN) == told and notes.is_open(OPEN)


def test_two_revisions_in_a_studios_cache_are_none(tmp_path, monkeypatch):
    cache = as_cache(as_cache(tmp_path / "cache", notes.at(OPEN, LATER)), notes.at(OPEN, HEAD))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(cache))
    assert not store.is_studios(OPEN)


def test_what_a_studios_folder_held_says_nothing_of_a_download(hub, get, tmp_path, monkeypatch):
    other = write_models(tmp_path / "studio", OPEN)
    (other / OPEN.repository / LARGE).write_bytes(content("another.safetensors", 1000))
    monkeypatch.setenv("FATHOM_WEIGHTS", str(other))
    notes.accept(OPEN)
    verification.ready([OPEN])
    monkeypatch.delenv("FATHOM_WEIGHTS")
    get(OPEN, revisions={"network": HEAD})
    assert found(OPEN) == expected(OPEN)
