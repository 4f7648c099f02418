"""Which files are ours, and that no others are touched."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from inference.contract import own_files
from inference.contract.own_files import Names, PathConflict, atomic, save_text

NAMES = Names(
    ("state.json", "clip/frames.u8", "low/disparity.####.exr", "shot.####-####/", "shot.####-####/a/######.npy")
)

links = pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("state.json", True),
        (".tmp-12-state.json", True),
        (".tmp-12-disparity.0001.exr", True),  # on its way to another folder
        ("state.json.12.tmp", True),
        ("clip/frames.u8", True),
        ("clip/.frames.u8.12.tmp", True),
        ("low/disparity.10001.exr", True),
        ("low/disparity.-005.exr", True),
        ("shot.0001-0010/a/000001.npy", True),
        ("shot.0001-0010/a/1.npy", False),
        ("shot.0001-0010/state.json", False),
        ("low/disparity.001.exr", False),
        ("low/disparity.0001.exr.bak", False),
        ("clip/frames_u8", False),
        ("clip/holiday.jpg", False),
        (".tmp-12-holiday.jpg", False),
        ("state.json\n", False),
    ],
)
def test_only_exact_names_are_ours(path, ours):
    assert NAMES.has_file(tuple(path.split("/"))) == ours


@pytest.mark.parametrize(
    ("path", "ours"),
    [("clip", True), ("shot.0001-0010", True), ("shot.0001-0010/a", True), ("shot.1-2", False), ("a", False)],
)
def test_only_folders_of_our_files_are_ours(path, ours):
    assert NAMES.has_folder(tuple(path.split("/"))) == ours


def fill(folder):
    for path in ("state.json", "clip/frames.u8", "shot.0001-0010/a/000001.npy"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("ours")


def test_what_is_ours_goes_and_all_else_stays(tmp_path):
    fill(tmp_path)
    others = ("holiday.jpg", "clip/holiday.jpg", "shot.0001-0010/holiday.jpg", "deeper/state.json")
    for path in others:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("theirs")
    own_files.clear(tmp_path, NAMES)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(others)
    assert not (tmp_path / "shot.0001-0010" / "a").exists(), "a folder of ours that is empty goes as well"


@links
def test_nothing_is_deleted_through_a_link_or_in_its_place(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for each in (theirs, ours):
        each.mkdir()
        fill(each)
    before = sorted(theirs.rglob("*"))
    for name in ("clip", "shot.0001-0010"):
        for inner in sorted((ours / name).rglob("*"), reverse=True):
            inner.rmdir() if inner.is_dir() else inner.unlink()
        (ours / name).rmdir()
        (ours / name).symlink_to(theirs / name)
    (ours / "state.json").unlink()
    (ours / "state.json").symlink_to(theirs / "state.json")
    own_files.clear(ours, NAMES)
    assert sorted(theirs.rglob("*")) == before
    assert {path.name for path in ours.iterdir()} == {"clip", "shot.0001-0010", "state.json"}
    (tmp_path / "link").symlink_to(theirs)
    own_files.clear(tmp_path / "link", NAMES)
    assert sorted(theirs.rglob("*")) == before


def test_where_folders_have_no_descriptors_the_same_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(own_files, "_BY_DESCRIPTOR", False)
    test_what_is_ours_goes_and_all_else_stays(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path)
    if os.name != "nt":
        (tmp_path / "b").mkdir()
        test_nothing_is_deleted_through_a_link_or_in_its_place(tmp_path / "b")


def test_the_last_goes_last(tmp_path, monkeypatch):
    fill(tmp_path)
    gone = []
    remove = os.unlink
    monkeypatch.setattr(
        os, "unlink", lambda path, **options: (gone.append(os.path.basename(path)), remove(path, **options))
    )
    own_files.clear(tmp_path, Names((*NAMES.patterns, "z.json")), last="state.json")
    assert gone[-1] == "state.json" and len(gone) == 3


def test_a_junction_is_a_link_and_a_file_in_a_cloud_is_none():
    def facts(tag):
        return SimpleNamespace(st_mode=stat.S_IFDIR, st_reparse_tag=tag)

    assert own_files.is_link(facts(0xA0000003)), "a junction"
    assert own_files.is_link(facts(0xA000000C)), "a symbolic link"
    assert not own_files.is_link(facts(0x9000001A)), "a file that a cloud keeps"
    assert not own_files.is_link(facts(0))


@pytest.mark.skipif(os.name != "nt", reason="only Windows has junctions")
def test_a_real_junction_is_refused(tmp_path):
    (tmp_path / "there").mkdir()
    subprocess.run(["cmd", "/c", "mklink", "/J", tmp_path / "here", tmp_path / "there"], check=True)
    with pytest.raises(PathConflict, match="is a link"):
        own_files.make_folder(tmp_path / "here")


@links
@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe", "hard link"])
def test_what_is_no_file_of_ours_is_not_written_into(kind, tmp_path):
    theirs, path = tmp_path / "theirs", tmp_path / "log"
    theirs.write_text("theirs")
    if kind == "link":
        path.symlink_to(theirs)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "new")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.hardlink_to(theirs)
    with pytest.raises(PathConflict), open(path, "ab", opener=own_files.opener) as file:
        file.write(b"ours")
    assert theirs.read_text() == "theirs" and not (tmp_path / "new").exists()


@links
@pytest.mark.parametrize("times", [2, 10**6])
def test_a_file_that_another_program_has_open_is_waited_for_on_windows(tmp_path, monkeypatch, times):
    """A Blender that shows how far a run is reads its state, which no process on Windows can replace meanwhile."""
    path, tries, before = tmp_path / "state.json", [], os.replace
    path.write_text("old", encoding="utf-8")

    def busy(*given):
        tries.append(given)
        if len(tries) <= times:
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        before(*given)

    monkeypatch.setattr(own_files, "_PATIENCE", 0.3)
    monkeypatch.setattr(os, "replace", busy)
    with contextlib.nullcontext() if times == 2 else pytest.raises(PermissionError):
        own_files.save_text(path, "new")
    assert path.read_text(encoding="utf-8") == ("new" if times == 2 else "old") and len(tries) > 2
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_a_new_file_takes_the_place_of_no_link(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "half").symlink_to(tmp_path / "theirs")
    with pytest.raises(PathConflict):
        own_files.create(tmp_path / "half")
    (tmp_path / "half").unlink()
    (tmp_path / "half").hardlink_to(tmp_path / "theirs")
    own_files.create(tmp_path / "half")
    assert (tmp_path / "theirs").read_text() == "theirs" and (tmp_path / "half").read_text() == ""


@links
def test_checking_gives_files_with_other_names_a_copy_of_their_own(tmp_path):
    folder, backup = tmp_path / "here", tmp_path / "backup"
    folder.mkdir()
    fill(folder)
    backup.hardlink_to(folder / "clip" / "frames.u8")
    own_files.check(folder, NAMES)
    with open(folder / "clip" / "frames.u8", "ab") as file:
        file.write(b"more")
    assert backup.read_text() == "ours" and (folder / "clip" / "frames.u8").read_text() == "oursmore"
    assert len(list((folder / "clip").iterdir())) == 1


@links
@pytest.mark.parametrize("path", ["state.json", "clip", "clip/frames.u8", "shot.0001-0010/a"])
@pytest.mark.parametrize("kind", ["link", "other"])
def test_checking_refuses_links_and_what_is_not_what_its_name_says(path, kind, tmp_path):
    place = tmp_path / "here" / path
    place.parent.mkdir(parents=True)
    if kind == "link":
        place.symlink_to(tmp_path)
    elif "." in place.name:
        place.mkdir()
    else:
        place.write_text("a file")
    with pytest.raises(PathConflict) as caught:
        own_files.check(tmp_path / "here", NAMES)
    assert str(place) in caught.value.sentence


def test_others_files_are_nobodys_concern(tmp_path):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("/nowhere")
    own_files.check(tmp_path, NAMES)


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges on Windows")
def test_a_folder_that_is_exchanged_on_the_way_is_not_followed(tmp_path, monkeypatch):
    """Between looking at a folder and opening it, somebody puts a link in its place."""
    folder, theirs = tmp_path / "here", tmp_path / "theirs"
    folder.mkdir()
    fill(folder)
    theirs.mkdir()
    (theirs / "frames.u8").write_text("theirs")
    look = os.stat

    def exchanged(path, **options):
        found = look(path, **options)
        if path == "clip":
            (folder / "clip").rename(tmp_path / "away")
            (folder / "clip").symlink_to(theirs)
        return found

    monkeypatch.setattr(own_files.os, "stat", exchanged)
    own_files.clear(folder, NAMES)
    assert (theirs / "frames.u8").read_text() == "theirs"


def test_a_file_appears_only_once_it_is_complete(tmp_path):
    with atomic(tmp_path / "a.npz") as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".npz"
        assert not (tmp_path / "a.npz").exists()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.npz", "x")]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    save_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), atomic(tmp_path / "a") as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_temporary_files_can_lie_elsewhere(tmp_path):
    via = tmp_path / "via"
    via.mkdir()
    with atomic(tmp_path / "a", via=via) as temporary:
        assert temporary.parent == via
        temporary.write_text("x")
    assert list(via.iterdir()) == []
