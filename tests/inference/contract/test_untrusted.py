"""Files and texts of other people: read without waiting, shown without commanding a terminal."""

import os
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import untrusted
from inference.contract.untrusted import (
    RecordError,
    escaped,
    in_a_line,
    is_same_path,
    read_bytes,
    read_text,
    readable,
)


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_what_is_shown_encodes_and_holds_nothing_that_a_terminal_obeys(text):
    shown = readable(text)
    shown.encode()
    assert not [
        each for each in shown.replace("\r\n", "\n") if unicodedata.category(each) == "Cc" and each not in "\n\t"
    ]
    assert not re.search("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", shown)
    assert len(in_a_line(text).splitlines()) <= 1 and len(in_a_line(text)) <= 6 * 200


def test_letters_of_all_scripts_and_ends_of_lines_stay():
    text = "Größe\t日本 שלום 👩‍🚀\nline two\r\nline three"
    assert readable(text) == text
    assert readable("a\x1b[31m\x07\x9b\x7f\r\u202eb") == r"a\u001b[31m\u0007\u009b\u007f\u000d\u202eb"
    assert escaped("\udce9") == "\udce9" and readable("\udce9") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are not files there")
@pytest.mark.timeout(20)
def test_nothing_waits_for_a_pipe_or_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/zero"):
        with pytest.raises(RecordError, match="is a pipe or a device and not a file"):
            read_text(path)
    with pytest.raises(RecordError, match="is a folder and not a file"):
        read_text(tmp_path)


def test_links_that_lead_nowhere_are_files_that_are_not_there(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for name in ("dangling", "round"):
        with pytest.raises(OSError):
            read_text(tmp_path / name)
    for name in ("zero\0byte", "half\ud800letter"):
        with pytest.raises((RecordError, OSError)):
            read_text(tmp_path / name)


def test_a_folder_is_the_same_by_whatever_name(tmp_path):
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    one.mkdir()
    other.mkdir()
    link.symlink_to(one)
    assert is_same_path(one, link) and is_same_path(one, other / ".." / "one")
    assert not is_same_path(one, other) and not is_same_path(one, tmp_path / "none")
    assert is_same_path(tmp_path / "none", other / ".." / "none")


def test_a_file_is_read_up_to_its_bound(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 100)
    assert read_bytes(path, most=100) == b"x" * 100
    with pytest.raises(RecordError, match="is larger than"):
        read_text(path, most=99)
    with open(path, "r+b") as file:
        file.truncate(1 << 40)  # without taking any room
    with pytest.raises(RecordError, match="is larger than 67 MB"):
        read_text(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files without a size are Linux's")
def test_a_file_that_does_not_tell_its_size_is_bounded_too():
    with pytest.raises(RecordError, match="is larger than"):
        read_bytes("/proc/self/maps", most=10)


def test_text_may_begin_with_a_mark_of_its_order_and_must_be_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(tmp_path / "a") == "{}"
    for data in (b"\xff\xfe{}", b"\xed\xa0\x80"):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(RecordError, match="is not a text"):
            read_text(tmp_path / "a")
    assert untrusted.LARGEST_FILE == 1 << 26


def test_what_cannot_be_looked_at_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert untrusted.is_file(tmp_path / "file") and untrusted.is_folder(tmp_path)
    assert not untrusted.is_file(tmp_path) and not untrusted.is_folder(tmp_path / "file")
    for name in ("x" * 300, "x/" * 3000, "a\0b"):
        path = f"{tmp_path}/{name}"
        assert not (untrusted.is_file(path) or untrusted.is_folder(path) or untrusted.is_there(path))

    def forbidden(path, *_arguments, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", forbidden)
    assert not (untrusted.is_file(tmp_path / "file") or untrusted.is_folder(tmp_path))


def test_no_program_of_the_current_folder_is_found(tmp_path, monkeypatch):
    there = tmp_path / "driver"
    there.mkdir()
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path, there):
        for name in ("tool", "tool.exe", "tool.bat"):
            (place / name).write_text("")
            (place / name).chmod(0o755)
    for windows, name in ((True, "tool.exe"), (False, "tool")):
        for path in ("", ".", "nothing", "driver"):
            monkeypatch.setenv("PATH", path)
            assert untrusted.find_program("tool", "", on_windows=windows) is None
        assert untrusted.find_program("tool", there, on_windows=windows) == str(there / name)
        monkeypatch.setenv("PATH", os.pathsep.join((".", str(there))))
        assert untrusted.find_program("tool", on_windows=windows) == str(there / name)
    (there / "tool").chmod(0o644)
    assert untrusted.find_program("tool", on_windows=False) is None
