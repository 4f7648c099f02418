"""Setting up an environment, with an empty lock so that nothing is downloaded."""

import dataclasses
import subprocess
import sys
import threading
import time

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


@pytest.mark.slow
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


@pytest.fixture
def stages(empty, tmp_path, monkeypatch):
    """The same in two stages, of which the second adds a lock; with a hand at making them that is quicker than venv."""
    (tmp_path / "more.txt").write_text("# nothing more\n")

    def run(command, failure):
        if "venv" in command:
            empty.executable.parent.mkdir(parents=True)
            empty.executable.symlink_to(sys.executable)

    monkeypatch.setattr(environments, "_run", run)
    return empty, dataclasses.replace(empty, locks=("empty.txt", "more.txt"))


def test_a_light_environment_is_grown_in_place_and_the_full_one_serves_both(stages, capsys):
    light, full = stages
    environments.ensure(light)
    (light.path / "mark").touch()
    assert environments.ensure(full) == light.executable
    assert (light.path / "mark").exists(), "grown, not made again"
    assert capsys.readouterr().out.splitlines()[-1].startswith("Adding to .venv: ")
    environments.ensure(full)
    environments.ensure(light)
    assert (light.path / "mark").exists() and not capsys.readouterr().out, "nothing is left to do"


def test_a_full_environment_is_made_at_once_where_there_is_none(stages):
    light, full = stages
    environments.ensure(full)
    (full.path / "mark").touch()
    environments.ensure(light)
    assert (full.path / "mark").exists()


@pytest.mark.parametrize("interruption", [Problem("pip failed"), KeyboardInterrupt()], ids=["failed", "interrupted"])
def test_a_growth_that_was_broken_off_is_made_again_from_nothing(stages, monkeypatch, interruption):
    light, full = stages
    environments.ensure(light)
    (light.path / "mark").touch()
    run = environments._run

    def break_off(command, failure):
        raise interruption

    monkeypatch.setattr(environments, "_run", break_off)
    with pytest.raises(type(interruption)):
        environments.ensure(full)
    monkeypatch.setattr(environments, "_run", run)
    assert not (light.path / "fathom-stamp").exists(), "half of it is neither"
    environments.ensure(light)
    assert not (light.path / "mark").exists()


@pytest.mark.parametrize(("changed", "stands"), [("empty.txt", False), ("more.txt", True)])
def test_a_changed_lock_spares_only_the_stage_that_it_does_not_concern(stages, tmp_path, changed, stands):
    light, full = stages
    environments.ensure(full)
    (full.path / "mark").touch()
    (tmp_path / changed).write_text("# changed\n")
    environments.ensure(light)
    assert (light.path / "mark").exists() is stands
    (full.path / "mark").touch()
    environments.ensure(full)
    assert (full.path / "mark").exists() is not stands, "an outdated stage is not grown over"


def test_of_two_that_set_up_at_once_the_second_waits_and_finds_it_made(stages, monkeypatch, capsys):
    light, _ = stages
    began, made = threading.Event(), []
    run = environments._run

    def slowly(command, failure):
        began.set()
        time.sleep(0.2)
        made.append("venv" in command)
        run(command, failure)

    monkeypatch.setattr(environments, "_run", slowly)
    monkeypatch.setattr(system, "need_venv", lambda python: None)
    first = threading.Thread(target=environments.ensure, args=(light,))
    first.start()
    assert began.wait(60)
    assert environments.ensure(light).exists()
    first.join()
    assert made == [True, False], "made once: venv, then the packages"
    assert "Waiting for another process, which sets up .venv" in capsys.readouterr().out


def test_the_demo_needs_no_torch_and_the_tests_grow_from_its_environment():
    assert environments.FULL_WORKER.locks[:1] == environments.WORKER.locks
    assert environments.FULL_WORKER.path == environments.WORKER.path
    assert set(environments.WORKER.locks) < set(environments.FULL_WORKER.locks)
    assert environments.WORKER.locks == ("light.txt",)


def test_growing_installs_every_lock_and_makes_no_environment(stages, monkeypatch, tmp_path):
    light, full = stages
    environments.ensure(light)
    commands = []
    monkeypatch.setattr(environments, "_run", lambda command, failure: commands.append(command))
    environments.ensure(full)
    (install,) = commands
    assert install[0] == str(light.executable)
    assert install[-2:] == [str(tmp_path / "empty.txt"), str(tmp_path / "more.txt")]


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


@pytest.mark.skipif(sys.platform == "win32", reason="processes are looked for as POSIX has them")
def test_what_sets_up_ends_with_a_caller_that_is_killed(tmp_path):
    """The tools of a set-up, by a child that waits as pip does for a server."""
    code = (
        "import sys; from development import environments, system\n"
        "sys.stderr.close()\n"
        "environments._run([sys.executable, '-Iu', str(environments.GUARD), 'http.server', '0'], 'failed')"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=environments.ROOT, stdout=subprocess.PIPE, text=True)
    started = caller.stdout.readline()
    assert "Serving" in started
    caller.kill()
    caller.wait()
    assert caller.stdout.read() == ""  # comes to an end when the last process that writes to it has ended
    caller.stdout.close()
