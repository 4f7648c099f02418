"""Setting up an environment, with an empty lock so that nothing is downloaded."""

import sys

import pytest

from development import environments, system
from development.environments import Environment
from development.problems import NoInterpreter, Problem


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An environment for this Python with nothing in it, in a folder of its own."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    return Environment(
        folder=".venv", python=f"{sys.version_info[0]}.{sys.version_info[1]}", locks=("empty.txt",), label="nothing"
    )


def test_what_stands_is_left_and_what_is_unfinished_or_outdated_is_made_again(empty):
    python = environments.ensure(empty)
    assert python.exists() and python == empty.executable
    (empty.path / "mark").touch()
    environments.ensure(empty)
    assert (empty.path / "mark").exists()

    lock = environments.REQUIREMENTS / "empty.txt"
    good = lock.read_text()
    lock.write_text("not a requirement\n")
    with pytest.raises(Problem, match=r"empty\.txt"):
        environments.ensure(empty)
    assert not (empty.path / "mark").exists()  # another lock: from nothing
    assert not (empty.path / "fathom-stamp").exists()  # and not finished

    (empty.path / "mark").touch()
    lock.write_text(good)
    environments.ensure(empty)
    assert not (empty.path / "mark").exists()  # unfinished: from nothing again
    assert (empty.path / "fathom-stamp").exists()


def test_a_python_that_is_not_there_is_named(empty):
    wanted = Environment(folder=".venv", python="3.3", locks=empty.locks, label="old")
    with pytest.raises(NoInterpreter, match=r"Python 3\.3"):
        environments.ensure(wanted)


def test_who_is_not_root_gets_the_line_to_run(monkeypatch):
    monkeypatch.setattr(system.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    with pytest.raises(Problem) as told:
        system.install({"libx11-6", "libgl1"}, reason="Libraries are missing")
    assert "apt-get install -y --no-install-recommends libgl1 libx11-6" in str(told.value)


def test_a_system_without_apt_gets_the_names(monkeypatch):
    monkeypatch.setattr(system.shutil, "which", lambda name: None)
    with pytest.raises(Problem, match="libgl1"):
        system.install({"libgl1"}, reason="Libraries are missing")
