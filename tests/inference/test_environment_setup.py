"""Making environments for real: with venv and pip, from a package made here, without a network."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inference import environment, environment_setup
from inference.events import Progress, Stage


@pytest.fixture
def lock(tmp_path):
    """A lock of one package, which lies beside it."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "plumbline-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("plumbline.py", "DEPTH = 7\n")
        wheel.writestr("plumbline-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: plumbline\nVersion: 1.0\n")
        wheel.writestr(
            "plumbline-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("plumbline-1.0.dist-info/RECORD", "plumbline.py,,\n")
    path = tmp_path / "lock.txt"
    path.write_text(f"--no-index\n--find-links {shelf}\nplumbline==1.0\n")
    return path


def create(folder: Path, lock: Path, **kwargs):
    events = []
    steps = environment_setup.create(folder, python=Path(sys.executable), requirements=[lock], **kwargs)
    for batch in steps:
        events += batch
    return events


def test_the_environment_has_the_locked_package_and_is_known_as_ready(tmp_path, lock):
    folder = tmp_path / "environments" / "one"
    events = create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    command = [environment.python_of(folder), "-I", "-c", "import plumbline; print(plumbline.DEPTH)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "7\n"
    assert [e.fraction for e in events if isinstance(e, Progress)][-1] == 1.0
    assert any("plumbline" in e.label for e in events if isinstance(e, Stage))
    assert not list(folder.parent.glob("*.log"))
    assert create(folder, lock) == []  # there already: nothing to do


def test_a_changed_lock_makes_it_outdated_and_replaces_it(tmp_path, lock):
    folder = tmp_path / "one"
    create(folder, lock)
    (folder / "left-over").write_text("")
    lock.write_text(lock.read_text() + "# changed\n")
    assert environment.state(folder, [lock]) == "outdated"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    assert not (folder / "left-over").exists()


def test_a_package_that_is_not_to_be_had_fails_in_a_sentence_and_leaves_nothing(tmp_path, lock):
    lock.write_text(lock.read_text().replace("plumbline==1.0", "plumbline==2.0"))
    with pytest.raises(environment_setup.SetupError, match=r"Installing the packages failed: .*plumbline==2\.0.*\.log"):
        create(tmp_path / "one", lock)
    assert not (tmp_path / "one").exists()
    assert "plumbline==2.0" in (tmp_path / "one.log").read_text()


def test_a_disk_without_room_is_told_before_anything_is_made(tmp_path, lock):
    with pytest.raises(environment_setup.SetupError, match=r"about 1000000000\.0 GB and the disk of .* GB left; make"):
        create(tmp_path / "environments" / "one", lock, needed_bytes=1e18)
    assert not (tmp_path / "environments").exists()


def test_both_sets_tell_what_they_take():
    for packages in ("light", "full"):
        download, disk = environment_setup.sizes(packages)
        assert 0 < download < disk


@pytest.mark.parametrize("at", [1, 8])
def test_cancelled_it_leaves_nothing(tmp_path, lock, at):
    folder = tmp_path / "one"
    steps = environment_setup.create(folder, python=Path(sys.executable), requirements=[lock])
    for _ in range(at):
        next(steps)
    with pytest.raises(StopIteration):
        while True:
            steps.send(True)
    assert not folder.exists()
    assert environment.state(folder, [lock]) == "missing"


def test_closed_it_leaves_nothing(tmp_path, lock):
    steps = environment_setup.create(tmp_path / "one", python=Path(sys.executable), requirements=[lock])
    for _ in range(5):
        next(steps)
    steps.close()
    assert not (tmp_path / "one").exists()


def test_a_half_built_one_is_replaced(tmp_path, lock):
    folder = tmp_path / "one"
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    assert environment.state(folder, [lock]) == "unfinished"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"


def test_somebody_elses_folder_is_never_deleted(tmp_path, lock):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("dear")
    with pytest.raises(environment_setup.SetupError, match="holds files that are no environment"):
        create(folder, lock)
    assert (folder / "holiday.jpg").read_text() == "dear"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 3.9", "is Python 3.9 and the worker needs 3.11 to 3.14"),
        ("echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1", "apt install python3-venv"),
        ("echo boom >&2; exit 1", r"does not run \(boom\)"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the interpreter")
def test_an_unfit_python_is_named(tmp_path, lock, script, words):
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with pytest.raises(environment_setup.SetupError, match=words):
        list(environment_setup.create(tmp_path / "one", python=python, requirements=[lock]))


def test_the_running_python_can_make_environments():
    assert environment_setup.base_python().is_file()


def test_removing(tmp_path):
    home = tmp_path / "home"
    environment_setup.remove(home)  # nothing there
    one, two = home / "environments" / "0123456789ab", home / "environments" / "ba9876543210"
    for folder in (one, two):
        folder.mkdir(parents=True)
        (folder / "pyvenv.cfg").write_text("")
    (home / "keep").write_text("")
    (home / "environments" / "0123456789ab.log").write_text("")
    environment_setup.remove_others(one)
    assert one.exists() and not two.exists()
    environment_setup.remove(home)
    assert [p.name for p in home.iterdir()] == ["keep"]


def test_environments_of_the_artists_stay(tmp_path):
    """The data folder may be their home, with a folder of that name."""
    mine = tmp_path / "environments" / "houdini"
    mine.mkdir(parents=True)
    (mine / "pyvenv.cfg").write_text("")
    (tmp_path / "environments" / "notes.log").write_text("dear")
    ours = environment.own_environment(tmp_path)
    ours.mkdir()
    (ours / "pyvenv.cfg").write_text("")
    environment_setup.remove_others(ours)
    environment_setup.remove(tmp_path)
    assert sorted(p.name for p in (tmp_path / "environments").iterdir()) == ["houdini", "notes.log"]
