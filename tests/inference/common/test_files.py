"""Writing in one step."""

import os

import pytest

from inference.common.files import atomic, sync_folder, write_text


def test_a_file_appears_only_once_it_is_complete(tmp_path):
    with atomic(tmp_path / "a.npz") as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".npz"
        assert not (tmp_path / "a.npz").exists()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.npz", "x")]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a", "old")
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


def test_a_folder_that_cannot_be_synced_is_passed_over(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError("not here")

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
