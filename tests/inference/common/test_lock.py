"""Two runs into one folder."""

import errno
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import psutil
import pytest

from inference.common import lock
from inference.common.failures import Failure
from inference.contract import leftovers, own_files
from inference.contract import lock as shared

ROOT = Path(lock.__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="signals, links and forks are other systems'")


def _write(folder, **changes):
    folder.mkdir(exist_ok=True)
    holder = {
        "host": platform.node(),
        "process": os.getpid(),
        "started": psutil.Process().create_time(),
        **changes,
    }
    (folder / lock.NAME).write_text(json.dumps(holder))


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from inference.common import lock
from inference.common.failures import Failure
try:
    held = lock.acquire(Path(sys.argv[2]))
except Failure as failure:
    print("refused", failure)
else:
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def _hold(folder, seconds=60.0, before=""):
    """Another process that takes the lock."""
    return subprocess.Popen(
        [sys.executable, "-c", before + HOLD, str(ROOT), str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def holding(tmp_path):
    """A process that holds the lock of ``.fathom``."""
    process = _hold(tmp_path / ".fathom")
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_is_taken_once_and_given_back(tmp_path):
    folder = tmp_path / ".fathom"
    held = lock.acquire(folder)
    with pytest.raises(Failure, match=f"process {os.getpid()}.*writing into {tmp_path}"):
        lock.acquire(folder)
    held.release()
    assert not folder.exists()
    lock.acquire(folder).release()


def test_the_folder_stays_where_work_is_kept_in_it(tmp_path):
    held = lock.acquire(tmp_path / ".fathom")
    (tmp_path / ".fathom" / "state.json").write_text("{}")
    held.release()
    assert [path.name for path in (tmp_path / ".fathom").iterdir()] == ["state.json"]


def test_the_sentence_names_the_process_its_user_and_since_when(holding, tmp_path):
    with pytest.raises(Failure, match=rf"process {holding.pid} of \S+, since \d\d:\d\d\) is writing") as caught:
        lock.acquire(tmp_path / ".fathom")
    assert caught.value.code == 5


@pytest.mark.parametrize("shift", [-86400.0 * 400, -3600.0, 3600.0, 86400.0 * 400])
def test_a_clock_that_is_set_lets_nobody_in(holding, tmp_path, shift, monkeypatch):
    told = time.time
    monkeypatch.setattr(time, "time", lambda: told() + shift)
    os.utime(tmp_path / ".fathom" / lock.NAME, (told() + shift, told() + shift))
    with pytest.raises(Failure, match=f"process {holding.pid}"):
        lock.acquire(tmp_path / ".fathom")


@posix
def test_the_lock_of_a_process_that_is_killed_is_free_at_once(holding, tmp_path):
    holding.send_signal(signal.SIGKILL)
    holding.wait()
    begun = time.monotonic()
    lock.acquire(tmp_path / ".fathom").release()
    assert time.monotonic() - begun < 0.5


def test_what_a_dead_process_left_is_no_lock(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _write(tmp_path / ".fathom", process=dead.pid)
    lock.acquire(tmp_path / ".fathom").release()
    _write(tmp_path / ".fathom", process=os.getpid())  # its number was given to another, which runs
    lock.acquire(tmp_path / ".fathom").release()


def test_the_lock_of_another_computer_is_never_stale_and_the_sentence_says_so(tmp_path):
    _write(tmp_path / ".fathom", host="render07", process=12)
    with pytest.raises(Failure, match=r"render07 \(process 12\).*delete .*lock") as caught:
        lock.acquire(tmp_path / ".fathom")
    assert caught.value.code == 5
    (tmp_path / ".fathom" / lock.NAME).unlink()
    lock.acquire(tmp_path / ".fathom").release()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"host": 1}', '{"process": 1e999}', "[" * 100000, '{"host": "h", "process": true}'],
)
def test_a_lock_file_that_says_nothing_is_free(tmp_path, content):
    folder = tmp_path / ".fathom"
    folder.mkdir()
    (folder / lock.NAME).write_text(content)
    lock.acquire(folder).release()


def test_what_a_foreign_lock_says_is_shown_as_text(tmp_path):
    host = "\x1b]0;evil\x07" + "x" * 3000
    other = lock.Holder(host=host, user="\x1b[31m", process=1, started=1e300)
    said = str(shared._refusal(other, tmp_path / ".fathom" / lock.NAME))
    assert "\x1b" not in said and "evil" in said and len(said) < 1000


@pytest.mark.slow
def test_of_many_that_find_a_stale_lock_at_once_one_gets_it(tmp_path):
    _write(tmp_path / ".fathom", process=1)
    processes = [_hold(tmp_path / ".fathom", 4.0) for _ in range(6)]
    said = sorted(process.communicate()[0].partition(" ")[0].strip() for process in processes)
    assert said == ["held"] + ["refused"] * 5


@pytest.mark.slow
def test_a_lock_that_changes_hands_all_the_time_has_one_holder_at_a_time(tmp_path):
    code = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from inference.common import lock
from inference.common.failures import Failure
folder, taken = Path(sys.argv[2]), 0
until = time.monotonic() + 3
while time.monotonic() < until:
    try:
        held = lock.acquire(folder / ".fathom")
    except Failure:
        continue
    os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))  # fails where another holds it too
    taken += 1
    os.unlink(folder / "mine")
    held.release()
print(taken)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    taken = [int(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0] and sum(taken) > 3


@posix
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "link to nothing"])
@pytest.mark.parametrize("name", [".fathom", ".fathom/lock"])
def test_a_lock_that_is_none_is_refused_in_one_sentence(kind, name, tmp_path):
    folder = tmp_path / "out"
    path = folder / name
    path.parent.mkdir(parents=True)
    if kind == "folder" and name == ".fathom":
        path.write_text("a file")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / ("theirs" if kind == "link" else "nothing"))
        (tmp_path / "theirs").write_text("theirs")
    with pytest.raises(Failure, match="and Fathom writes only into files and folders of its own") as caught:
        lock.acquire(folder / ".fathom")
    assert caught.value.code == 5 and str(path) in caught.value.what
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "theirs").exists() or (tmp_path / "theirs").read_text() == "theirs"


@posix
def test_a_lock_with_another_name_elsewhere_is_not_written_into(tmp_path):
    folder = tmp_path / ".fathom"
    folder.mkdir()
    (tmp_path / "theirs").write_text("theirs")
    (folder / lock.NAME).hardlink_to(tmp_path / "theirs")
    lock.acquire(folder).release()
    assert (tmp_path / "theirs").read_text() == "theirs"


@posix
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for the administrator"
)
def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(Failure, match="read-only"):
            lock.acquire(tmp_path / ".fathom")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("name", ["make_folder", "open_file"])
def test_a_folder_that_is_there_and_takes_no_file_is_said(tmp_path, monkeypatch, name):
    """As ``/proc``, and what Windows says of a path that is too long."""

    def nowhere(*arguments, **options):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(arguments[0]))

    monkeypatch.setattr(own_files, name, nowhere)
    monkeypatch.setattr(shared, "_PATIENCE", 0.2)
    with pytest.raises(Failure, match="cannot be written"):
        lock.acquire(tmp_path / ".fathom")


@posix
def test_anothers_stale_lock_that_cannot_be_written_is_replaced(tmp_path, monkeypatch):
    """As of another user, in a folder that both may write."""
    _write(tmp_path / ".fathom", process=1)
    first = (tmp_path / ".fathom" / lock.NAME).stat().st_ino
    opened, seen = own_files.open_file, []

    def closed(path, flags, **options):
        if flags & os.O_RDWR and path.stat().st_ino == first if path.exists() else False:
            seen.append(path)
            raise PermissionError(errno.EACCES, "no", str(path))
        return opened(path, flags, **options)

    monkeypatch.setattr(own_files, "open_file", closed)
    keep = (tmp_path / "keep").open("w")  # so that the new file gets no old number
    lock.acquire(tmp_path / ".fathom").release()
    keep.close()
    assert seen


@posix
def test_a_copy_of_the_process_does_not_keep_the_lock(tmp_path):
    before = "import os\n"
    code = HOLD.replace("    time.sleep", "    if os.fork() == 0: time.sleep(30); os._exit(0)\n    time.sleep")
    process = subprocess.Popen(
        [sys.executable, "-c", before + code, str(ROOT), str(tmp_path / ".fathom"), "60"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        time.sleep(0.3)
        process.kill()
        process.wait()
        lock.acquire(tmp_path / ".fathom").release()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


@posix
def test_a_child_program_does_not_keep_the_lock(tmp_path):
    held = lock.acquire(tmp_path / ".fathom")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
    try:
        time.sleep(0.5)  # for the child to have begun
        held._close()  # as a kill does
        shared._held.remove(held)
        lock.acquire(tmp_path / ".fathom").release()
    finally:
        child.kill()
        child.wait()


def test_a_lock_file_that_is_deleted_is_no_longer_held(tmp_path):
    held = lock.acquire(tmp_path / ".fathom")
    assert held.is_ours()
    if os.name != "nt":
        (tmp_path / ".fathom" / lock.NAME).unlink()
        assert not held.is_ours()
        other = lock.acquire(tmp_path / ".fathom")
        held.release()
        assert other.is_ours(), "releasing what is lost takes nothing from whoever has it now"
        other.release()


# Disks without locks

NO_LOCKS = f"""
import filelock
def none(descriptor, **options):
    raise OSError({errno.ENOLCK}, "no locks available")
filelock.lock_descriptor = none
"""


@pytest.fixture
def no_locks(monkeypatch):
    def none(descriptor, **options):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", none)


def test_a_disk_without_locks_has_a_soft_one(no_locks, tmp_path):
    process = _hold(tmp_path / ".fathom", before=NO_LOCKS)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Failure, match=f"process {process.pid}"):
            lock.acquire(tmp_path / ".fathom")
        process.kill()
        process.wait()
        held = lock.acquire(tmp_path / ".fathom")
        assert held.is_ours()
        held.release()
        assert not (tmp_path / ".fathom").exists()
    finally:
        process.kill()
        process.communicate()


def test_the_soft_lock_of_another_computer_is_left_alone_and_the_sentence_names_its_files(no_locks, tmp_path):
    folder = tmp_path / ".fathom"
    _write(folder, host="render07", process=12)
    (folder / lock.SOFT).write_text("12\nrender07\n")
    with pytest.raises(Failure, match=r"render07 \(process 12\)") as caught:
        lock.acquire(folder)
    assert str(folder / lock.NAME) in caught.value.hint and str(folder / lock.SOFT) in caught.value.hint
    for name in (lock.NAME, lock.SOFT):
        (folder / name).unlink()
    lock.acquire(folder).release()


def test_an_empty_soft_lock_is_named_so_that_it_can_be_deleted(no_locks, tmp_path, monkeypatch):
    """Whose holder's power failed before it wrote its name: filelock never takes it for broken."""
    monkeypatch.setattr(lock, "_SOFT_PATIENCE", 0.1)
    monkeypatch.setattr(shared, "_PATIENCE", 0.1)
    folder = tmp_path / ".fathom"
    folder.mkdir()
    (folder / lock.SOFT).touch()
    with pytest.raises(Failure, match="Another run is writing") as caught:
        lock.acquire(folder)
    assert f"if it has certainly ended, delete {folder / lock.SOFT}" in caught.value.hint
    (folder / lock.SOFT).unlink()
    lock.acquire(folder).release()


def test_blender_heeds_a_soft_lock(no_locks, tmp_path):
    held = lock.acquire(tmp_path / ".fathom")
    with pytest.raises(shared.Held, match=f"process {os.getpid()}") as caught:
        shared.acquire(tmp_path / ".fathom")
    assert lock.SOFT in caught.value.hint
    held.release()
    shared.acquire(tmp_path / ".fathom").release()


def test_a_computer_with_locks_heeds_one_without(tmp_path, monkeypatch):
    process = _hold(tmp_path / ".fathom", before=NO_LOCKS + "import platform; platform.node = lambda: 'render07'\n")
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Failure, match="render07"):
            lock.acquire(tmp_path / ".fathom")
    finally:
        process.kill()
        process.communicate()


# Whoever clears up after a run


def test_nothing_is_taken_away_while_a_run_holds_the_folder(holding, tmp_path):
    for ended in (None, os.getpid(), holding.pid):
        leftovers.take_away(tmp_path, ended=ended)
        assert (tmp_path / ".fathom" / lock.NAME).exists()
    holding.kill()
    holding.wait()
    leftovers.take_away(tmp_path, ended=holding.pid)
    assert not (tmp_path / ".fathom").exists()


def test_the_second_of_two_runs_is_refused_and_the_first_goes_on(worker, clip, tmp_path, helpers):
    arguments = ("estimate", clip, "--output", tmp_path, "--estimator", "running_mean", "--parameter", "pause=0.2")
    first = worker.start(*arguments)
    helpers.wait_for((tmp_path / "disparity.1002.exr").exists, "the first run")
    second = worker(*arguments)
    assert second.returncode == 5
    assert f"process {first.pid}" in second.stderr
    assert first.wait(60) == 0
