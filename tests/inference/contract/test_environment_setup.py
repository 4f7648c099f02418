"""Making environments for real: with venv and pip, from a package made here, without a network."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import wheel_maker

from inference.contract import environment, environment_setup
from inference.contract.events import Progress, Stage
from tests.marks import rest_slow


@pytest.fixture
def lock(tmp_path):
    """A lock of one package, which lies beside it."""
    return wheel_maker.lock(tmp_path / "lock.txt", wheel_maker.make(tmp_path / "shelf", "plumbline"))


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


@pytest.mark.slow
def test_a_changed_lock_makes_it_outdated_and_replaces_it(tmp_path, lock):
    folder = tmp_path / "one"
    create(folder, lock)
    (folder / "left-over").write_text("")
    lock.write_text(lock.read_text() + "# changed\n")
    assert environment.state(folder, [lock]) == "outdated"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    assert not (folder / "left-over").exists()


@pytest.mark.slow
def test_a_package_that_is_not_to_be_had_fails_in_a_sentence_and_leaves_nothing(tmp_path, lock):
    lock.write_text(lock.read_text().replace("plumbline==1.0", "plumbline==2.0"))
    with pytest.raises(environment_setup.SetupError, match=r"Installing the packages failed: .*plumbline==2\.0.*\.log"):
        create(tmp_path / "one", lock)
    assert not (tmp_path / "one").exists()
    assert "plumbline==2.0" in (tmp_path / "one.log").read_text()


def test_a_disk_without_room_is_told_before_anything_is_made(tmp_path, lock):
    with pytest.raises(environment_setup.SetupError, match=r"about 1000000000\.0 GB and the disk of .* GB left; free"):
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


@pytest.mark.slow
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
    with pytest.raises(environment_setup.SetupError, match="contains files but no environment"):
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


def test_an_environment_in_use_stays(tmp_path):
    home = tmp_path / "home"
    one, two = home / "environments" / "0123456789ab", home / "environments" / "ba9876543210"
    for folder in (one, two):
        folder.mkdir(parents=True)
        for name in ("pyvenv.cfg", environment.STAMP, ".used-by-1-left"):  # of a Blender that crashed
            (folder / name).write_text("")
    use = environment.Use(environment.python_of(two))
    environment_setup.remove_others(one)
    assert two.exists()
    with pytest.raises(environment_setup.SetupError, match="in use by another Blender"):
        environment_setup.remove(home)
    use.end()
    use.end()
    assert not [path.name for path in two.iterdir() if path.name.startswith(".used-by-") and "left" not in path.name]
    environment_setup.remove_others(one)
    assert not two.exists() and one.exists()
    environment.Use(Path(sys.executable)).end()  # a Python that is not ours gets no files


def test_a_disk_that_fills_up_ends_an_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(environment_setup, "_LOOK", 0.0)
    free = iter([10**12])
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=next(free, usage.free)))
    command = [sys.executable, "-c", "import time; print('Collecting', flush=True); time.sleep(60)"]
    steps = environment_setup.run_tool(command, tmp_path / "log", dict(os.environ), first="", done=0, total=1)
    with pytest.raises(environment_setup.SetupError, match="is nearly full"):
        list(steps)


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


HOSTILE = {
    "TARGET": "elsewhere", "PREFIX": "elsewhere", "ROOT": "elsewhere", "DRY_RUN": "1", "USER": "1", "NO_DEPS": "1",
    "REQUIRE_VIRTUALENV": "1", "CONSTRAINT": "nowhere.txt", "REQUIREMENT": "nowhere.txt", "NO_BINARY": ":all:",
    "PYTHON_VERSION": "3.7", "PLATFORM": "win_amd64", "PYTHON": "nowhere", "QUIET": "3", "HELP": "1", "LOG": "/",
    "IGNORE_INSTALLED": "1", "PRE": "1", "REPORT": "report.json", "UPGRADE": "1", "REQUIRE_HASHES": "0",
}  # fmt: skip
"""What pip takes from variables, or from its files, that would install elsewhere, otherwise or nothing."""


@pytest.mark.slow
@pytest.mark.parametrize("how", rest_slow(["variables", "file"]))
def test_pips_settings_of_another_purpose_do_not_hold(tmp_path, lock, monkeypatch, how):
    here = tmp_path / "current"
    here.mkdir()
    monkeypatch.chdir(here)
    if how == "variables":
        for name, value in HOSTILE.items():
            monkeypatch.setenv(f"PIP_{name}", value)
    else:
        lines = (f"{name.lower().replace('_', '-')} = {value}" for name, value in HOSTILE.items())
        (tmp_path / "pip.conf").write_text("\n".join(["[install]", *lines]))
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "_PYTHON_HOST_PLATFORM", "UV_TARGET"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    folder = tmp_path / "one"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    (module,) = folder.rglob("plumbline.py")
    assert "site-packages" in module.parts
    assert not list(here.iterdir()) and not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_library\n", r"plumbline 1\.0 is installed but cannot be loaded \(ModuleNotFoundError"),
        ("import os\nos.abort()\n", r"ended with code -6 after: Checking plumbline"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals end processes there otherwise")
def test_it_is_not_ready_before_every_package_can_be_loaded(tmp_path, code, words):
    lock = wheel_maker.lock(tmp_path / "lock.txt", wheel_maker.make(tmp_path, "plumbline", code=code))
    with pytest.raises(environment_setup.SetupError, match=words):
        create(tmp_path / "one", lock)
    assert environment.state(tmp_path / "one", [lock]) == "missing"


@pytest.mark.slow
def test_a_package_that_is_not_what_was_locked_is_refused_in_a_sentence(tmp_path, lock):
    wheel_maker.make(tmp_path / "shelf", "plumbline", code="DEPTH = 8\n")
    with pytest.raises(environment_setup.SetupError) as told:
        create(tmp_path / "one", lock)
    assert re.search(
        r"plumbline-1\.0-py3-none-any\.whl is not the plumbline==1\.0 that .* checksum differs", str(told.value)
    )
    assert str(told.value).count("Expected") == 0
    assert not (tmp_path / "one").exists()


@pytest.mark.slow
def test_a_lock_without_checksums_is_refused(tmp_path, lock):
    lock.write_text(lock.read_text().partition(" --hash")[0] + "\n")
    with pytest.raises(environment_setup.SetupError, match="Hashes are required"):
        create(tmp_path / "one", lock)


KILLED = """
import sys
from pathlib import Path
from inference.contract import environment_setup
folder, lock = map(Path, sys.argv[1:])
for events in environment_setup.create(folder, python=Path(sys.executable), requirements=[lock]):
    for event in events:
        print(getattr(event, "label", ""), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("during", ["Making an environment", "Installing the packages"])
@pytest.mark.skipif(sys.platform == "win32", reason="processes are looked for as POSIX has them")
def test_the_tools_end_with_a_caller_that_is_killed_and_what_they_left_is_repaired(tmp_path, lock, during):
    folder = tmp_path / "one"
    root = Path(__file__).resolve().parents[3]
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, folder, lock],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        start_new_session=True,
    )
    for line in caller.stdout:
        if line.startswith(during):
            break
    family = []
    deadline = time.monotonic() + 30
    while not family and time.monotonic() < deadline:
        family = psutil.Process(caller.pid).children(recursive=True)
    assert family
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    left = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in (process.info["cmdline"] or ())]
    assert not left
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    assert not (folder.parent / ".lock").exists()


@pytest.mark.slow
def test_two_at_once_do_not_destroy_each_others_work(tmp_path, lock):
    first = environment_setup.create(tmp_path / "one", python=Path(sys.executable), requirements=[lock])
    for _ in range(3):
        next(first)
    with pytest.raises(environment_setup.SetupError, match="Another Blender is installing an inference environment"):
        create(tmp_path / "one", lock)
    (tmp_path / "one").mkdir(exist_ok=True)
    environment_setup.remove_others(tmp_path / "two")
    assert (tmp_path / "one").exists()
    for _ in first:
        pass
    assert environment.state(tmp_path / "one", [lock]) == "ready"
    assert not (tmp_path / ".lock").exists()


@pytest.mark.slow
def test_a_removal_that_was_broken_off_is_repaired(tmp_path, lock, monkeypatch):
    folder = tmp_path / "one"
    create(folder, lock)
    lock.write_text(lock.read_text() + "# changed\n")
    rmtree = environment_setup.shutil.rmtree

    def break_off(path, **options):
        rmtree(path, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(environment_setup.shutil, "rmtree", break_off)
    with pytest.raises(KeyboardInterrupt):
        create(folder, lock)
    monkeypatch.setattr(environment_setup.shutil, "rmtree", rmtree)
    assert environment.state(folder, [lock]) == "unfinished"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"


def test_a_link_in_the_place_of_an_environment_is_not_followed(tmp_path, lock):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "pyvenv.cfg").write_text("")
    (theirs / "thesis.txt").write_text("dear")
    place = tmp_path / "home" / "environments"
    place.mkdir(parents=True)
    link = place / "0123456789ab"
    link.symlink_to(theirs)
    with pytest.raises(environment_setup.SetupError, match="is a link"):
        create(link, lock)
    environment_setup.remove_others(place / "ba9876543210")
    environment_setup.remove(tmp_path / "home")
    assert (theirs / "thesis.txt").read_text() == "dear"


def test_a_link_that_comes_in_the_place_of_an_environment_meanwhile_is_not_followed(tmp_path, lock):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("dear")
    steps = environment_setup.create(tmp_path / "one", python=Path(sys.executable), requirements=[lock])
    while not (tmp_path / "one").exists():
        next(steps)
    (tmp_path / "one").rename(tmp_path / "away")
    (tmp_path / "one").symlink_to(theirs)
    steps.close()
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_a_link_that_leads_nowhere_and_a_folder_of_links_are_somebody_elses(tmp_path, lock):
    (tmp_path / "one").symlink_to(tmp_path / "gone")
    with pytest.raises(environment_setup.SetupError, match="is a link"):
        create(tmp_path / "one", lock)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "shots").symlink_to(tmp_path)
    with pytest.raises(environment_setup.SetupError, match="contains files but no environment"):
        create(tmp_path / "two", lock)
    assert (tmp_path / "one").is_symlink() and (tmp_path / "two" / "shots").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
def test_a_pipe_in_the_place_of_the_lock_is_said_at_once(tmp_path, lock):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(environment_setup.SetupError, match="is not a regular file"):
        create(tmp_path / "one", lock)


@pytest.mark.skipif(os.name == "nt", reason="processes are looked for as POSIX has them")
def test_what_a_tool_started_ends_with_a_tool_that_is_killed(tmp_path):
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n"
        "print('Checking', child.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code]
    steps = environment_setup.run_tool(command, tmp_path / "log", dict(os.environ), first="", done=0, total=1)
    for _ in steps:
        pass
    child = int((tmp_path / "log").read_text().split()[-1])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path, lock):
    (tmp_path / "home").mkdir(mode=0o500)
    with pytest.raises(environment_setup.SetupError, match=r"cannot be written .*choose another data folder"):
        create(tmp_path / "home" / "environments" / "one", lock)


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path, lock):
    (tmp_path / "home").write_text("")
    with pytest.raises(environment_setup.SetupError, match=r"cannot be written .*choose another data folder"):
        create(tmp_path / "home" / "environments" / "one", lock)


@pytest.mark.slow
def test_spaces_and_letters_of_any_alphabet_in_paths_and_a_link_to_the_data_folder(tmp_path):
    real, lock = tmp_path / "daten ä# 深度", tmp_path / "sperre ü 深.txt"
    real.mkdir()
    (tmp_path / "link").symlink_to(real, target_is_directory=True)
    wheel_maker.lock(lock, wheel_maker.make(tmp_path / "shelf", "plumbline"))
    folder = tmp_path / "link" / "environments" / "one"
    create(folder, lock)
    assert environment.state(folder, [lock]) == "ready"
    assert (real / "environments" / "one" / "pyvenv.cfg").exists()


def repair(folder, lock):
    return [
        event
        for batch in environment_setup.repair(folder, python=Path(sys.executable), requirements=[lock])
        for event in batch
    ]


@pytest.mark.slow
def test_repairing_leaves_what_is_whole_and_makes_anew_what_is_not(tmp_path, lock):
    folder = tmp_path / "environments" / "one"
    create(folder, lock)
    (folder / "mark").write_text("")
    assert [e.fraction for e in repair(folder, lock) if isinstance(e, Progress)][-1] == 1.0
    assert (folder / "mark").exists() and not list(folder.parent.glob("*.log"))
    (module,) = folder.rglob("plumbline.py")
    module.write_text("this is no Python")
    labels = [e.label for e in repair(folder, lock) if isinstance(e, Stage)]
    assert any(label.startswith("Repairing: plumbline 1.0 is installed but cannot be loaded") for label in labels)
    assert environment.state(folder, [lock]) == "ready" and not (folder / "mark").exists()
    assert "DEPTH" in next(folder.rglob("plumbline.py")).read_text()


@pytest.mark.slow
def test_spaces_and_letters_of_any_alphabet_in_the_path(tmp_path):
    home = tmp_path / "Zoë Müller" / "My Files 日本語 Ж"
    lock = wheel_maker.lock(tmp_path / "lock.txt", wheel_maker.make(tmp_path / "shelf", "plumbline"))
    folder = home / "environments" / "one"
    create(folder, lock)
    command = [environment.python_of(folder), "-I", "-c", "import plumbline; print(plumbline.DEPTH)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "7\n"


def test_a_python_that_blender_alone_may_run_is_said_to_be_one(tmp_path, lock, monkeypatch):
    def forbidden(*_arguments, **_options):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(environment_setup.subprocess, "run", forbidden)
    with pytest.raises(environment_setup.SetupError, match="may only be run by Blender itself, as in Blender from an"):
        create(tmp_path / "one", lock)


@pytest.mark.slow
def test_repairing_changes_the_build_of_pytorch_where_another_fits_now(tmp_path, lock, monkeypatch):
    folder = tmp_path / "environments" / "one"
    monkeypatch.setattr(environment_setup, "TORCH", lock)
    create(folder, lock, torch_index="https://me:secret@wheels.studio/cpu")
    assert "secret" not in (folder / environment.STAMP).read_text()
    (folder / "mark").write_text("")

    def repaired(index):
        steps = environment_setup.repair(folder, python=Path(sys.executable), requirements=[lock], torch_index=index)
        return [e.label for batch in steps for e in batch if isinstance(e, Stage)]

    repaired("https://wheels.studio/cpu")
    assert (folder / "mark").exists()
    assert repaired("https://wheels.studio/cu130")[0].startswith("Repairing: another build of PyTorch")
    assert not (folder / "mark").exists() and environment.state(folder, [lock]) == "ready"


@pytest.mark.slow
def test_a_repair_that_fails_or_is_cancelled_leaves_the_environment_that_was(tmp_path, lock, monkeypatch):
    folder = tmp_path / "environments" / "0123456789ab"
    monkeypatch.setattr(environment_setup, "TORCH", lock)
    create(folder, lock, torch_index="https://wheels.studio/cpu")
    (folder / "mark").write_text("")

    def steps(**options):
        return environment_setup.repair(
            folder, python=Path(sys.executable), requirements=[lock], torch_index="https://another/cpu", **options
        )

    with pytest.raises(environment_setup.SetupError, match=r"left as it is \(another build .* now\)\. Switch it on\."):
        list(steps(offline="Switch it on."))
    with pytest.raises(environment_setup.SetupError, match="GB left"):
        list(steps(needed_bytes=1e18))
    started = steps()
    next(started)
    next(started)
    assert not (folder / "mark").exists()
    with pytest.raises(StopIteration):
        while True:
            started.send(True)
    shelf = (tmp_path / "shelf").rename(tmp_path / "gone")
    with pytest.raises(environment_setup.SetupError, match="Installing the packages failed"):
        list(steps())
    assert (folder / "mark").exists() and environment.state(folder, [lock]) == "ready"
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]
    (tmp_path / "gone").rename(shelf.with_name("shelf"))
    folder.with_name(f"{folder.name}.before").mkdir()
    (folder.with_name(f"{folder.name}.before") / "pyvenv.cfg").write_text("")  # of a repair that was killed
    list(steps())
    assert not (folder / "mark").exists() and environment.state(folder, [lock]) == "ready"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_a_python_that_does_not_start_is_said(tmp_path, lock):
    folder = tmp_path / "environments" / "one"
    create(folder, lock)
    python = environment.python_of(folder)
    python.unlink()
    python.write_text("no program")
    with pytest.raises(
        environment_setup.SetupError, match=r"left as it is \(its Python does not start .*\)\. Offline\."
    ):
        list(environment_setup.repair(folder, python=Path(sys.executable), requirements=[lock], offline="Offline."))
