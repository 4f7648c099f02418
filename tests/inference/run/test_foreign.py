"""Output folders that somebody has prepared: links, pipes and others' files where ours belong."""

import json
import os
import shutil
import sys

import pytest

from inference.contract import client, exit_codes, own_files
from inference.contract.job import Job
from inference.media.source import describe
from inference.run import output
from tests.footage_maker import stills
from tests.marks import rest_slow

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")


@pytest.fixture
def plate(tmp_path):
    return stills(tmp_path / "plate", range(1, 7))[0]


@pytest.fixture
def theirs(tmp_path):
    """A folder of somebody else's with names like ours in it."""
    folder = tmp_path / "theirs"
    for name in ("holiday.jpg", "state.json", "clip/frames.u8", "lock", "new/disparity.0001.exr", "depth.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("theirs")
    return folder


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unfinished(worker, plate, folder):
    """A run that broke off and left work."""
    done = worker.estimate(plate, folder, "--parameter", "trouble=crash")
    assert done.returncode == exit_codes.FAILED and (folder / ".fathom" / "state.json").is_file()


@pytest.mark.parametrize("target", ["theirs", "..", "."])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_scratch_folder_that_is_a_link_is_refused_and_its_target_stays(
    target, overwrite, worker, plate, theirs, tmp_path
):
    folder = tmp_path / "out" / "depth"
    folder.mkdir(parents=True)
    (folder / ".fathom").symlink_to(theirs if target == "theirs" else target)
    before = content(tmp_path)
    done = worker.estimate(plate, folder, *(["--overwrite"] if overwrite else []))
    assert done.returncode == exit_codes.BAD_OUTPUT
    assert f"{folder / '.fathom'} is a link" in done.stderr and "Traceback" not in done.stderr
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "inside", rest_slow(["clip", "shot.0001-0006", "state.json", "new", "low", "clip/frames.u8"], 2, spread=True)
)
@pytest.mark.parametrize("options", rest_slow([(), ("--seed", "1"), ("--full-size",)]))
def test_links_in_the_scratch_folder_are_refused(inside, options, worker, plate, theirs, tmp_path):
    folder = tmp_path / "depth"
    unfinished(worker, plate, folder)
    place = folder / ".fathom" / inside
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(theirs if "." not in place.name or inside.startswith("shot") else theirs / "holiday.jpg")
    before = content(theirs)
    done = worker.estimate(plate, folder, *options)
    assert done.returncode == exit_codes.BAD_OUTPUT and f"{place} is a link" in done.stderr
    assert content(theirs) == before


def test_others_files_in_the_scratch_folder_outlive_every_run(worker, plate, tmp_path):
    folder = tmp_path / "depth"
    unfinished(worker, plate, folder)
    for name in (".fathom/holiday.jpg", ".fathom/clip/holiday.jpg", ".fathom/shot.0001-0006/notes.txt"):
        (folder / name).write_text("theirs")
    (folder / ".fathom" / "new").mkdir(exist_ok=True)
    (folder / ".fathom" / "new" / "beauty.exr").write_text("theirs")
    (folder / "beauty.exr").write_text("also theirs")
    others = {name: text for name, text in content(folder).items() if text in (b"theirs", b"also theirs")}
    assert worker.estimate(plate, folder, "--seed", "1").returncode == exit_codes.OK, "which drops what was begun"
    assert others.items() <= content(folder).items()
    assert worker.estimate(plate, folder, "--seed", "2", "--overwrite").returncode == exit_codes.OK
    assert others.items() <= content(folder).items()
    left = {name for name in content(folder) if name.startswith(".fathom")}
    assert left == {name for name in others if name.startswith(".fathom")}, "nothing of ours was left"


def test_a_map_that_is_a_link_is_replaced_and_not_written_through(worker, plate, theirs, tmp_path):
    folder = tmp_path / "depth"
    unfinished(worker, plate, folder)
    for number in (1, 5):
        (folder / f"disparity.000{number}.exr").unlink(missing_ok=True)
        (folder / f"disparity.000{number}.exr").symlink_to(theirs / "holiday.jpg")
    before = content(theirs)
    done = worker.estimate(plate, folder)
    assert done.returncode == exit_codes.BAD_OUTPUT and "does not know where it comes from" in done.stderr
    assert content(theirs) == before and (folder / "disparity.0001.exr").is_symlink(), "nor is a link deleted"
    assert worker.estimate(plate, folder, "--overwrite").returncode == exit_codes.OK
    assert content(theirs) == before
    assert own_files.is_file(folder / "disparity.0001.exr")


def test_a_sidecar_that_is_a_link_counts_as_a_result(worker, plate, theirs, tmp_path):
    folder = tmp_path / "depth"
    folder.mkdir()
    for target in (theirs / "depth.json", theirs / "nothing"):
        (folder / "depth.json").symlink_to(target)
        assert worker.estimate(plate, folder).returncode == exit_codes.BAD_OUTPUT
        assert worker.estimate(plate, folder, "--overwrite").returncode == exit_codes.OK
        assert (theirs / "depth.json").read_text() == "theirs" and not (theirs / "nothing").exists()
        (folder / "depth.json").unlink()
        for path in folder.glob("*.exr"):
            path.unlink()


@pytest.mark.parametrize("name", ["depth.json", "disparity.0003.exr", "confidence.0006.exr"])
def test_a_folder_in_the_place_of_a_result_is_said_before_any_work(name, worker, plate, tmp_path):
    folder = tmp_path / "depth"
    (folder / name / "inside").mkdir(parents=True)
    done = worker.estimate(plate, folder, "--overwrite")
    assert done.returncode == exit_codes.BAD_OUTPUT and f"{folder / name} is a folder" in done.stderr
    assert (folder / name / "inside").is_dir() and not list(folder.glob("disparity.0001.exr"))


def test_an_output_folder_that_is_reached_by_links_is_as_good_as_any(worker, plate, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "link" / "shot").mkdir()
    (tmp_path / "depth").symlink_to(tmp_path / "link" / "shot")
    assert worker.estimate(plate, tmp_path / "depth").returncode == exit_codes.OK
    assert (tmp_path / "disk" / "shot" / "depth.json").is_file()


def test_hard_links_that_a_backup_made_keep_their_content(worker, plate, tmp_path):
    folder, backup = tmp_path / "depth", tmp_path / "backup"
    unfinished(worker, plate, folder)
    shutil.copytree(folder, backup, copy_function=os.link)
    before = content(backup)
    assert worker.estimate(plate, folder).returncode == exit_codes.OK
    assert content(backup) == before


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "hard link"])
def test_a_log_that_is_none_is_refused_by_the_client(kind, plate, theirs, tmp_path):
    folder = tmp_path / "depth"
    folder.mkdir()
    log = folder / "fathom.log"
    if kind == "link":
        log.symlink_to(theirs / "holiday.jpg")
    elif kind == "pipe":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    else:
        log.hardlink_to(theirs / "holiday.jpg")
    with pytest.raises(client.WorkerError) as caught:
        client.run_blocking(Job(source=describe(plate), output=str(folder)), python=sys.executable)
    assert caught.value.event.code == exit_codes.BAD_OUTPUT and str(log) in caught.value.event.what
    assert (theirs / "holiday.jpg").read_text() == "theirs" and os.path.lexists(log)


def test_the_client_takes_nothing_of_others_away(theirs, plate, tmp_path):
    folder = tmp_path / "depth"
    (folder / ".fathom").mkdir(parents=True)
    (folder / ".fathom" / "empty.txt").touch()
    (folder / "again").symlink_to(theirs)
    before = content(tmp_path)
    steps = client.estimate(Job(source=describe(plate), output=str(folder), estimator="none"), python=sys.executable)
    last = [event for heard in steps for event in heard][-1]
    assert last.code == exit_codes.USAGE
    assert content(tmp_path) == before


def state_of(folder):
    return folder / ".fathom" / "state.json"


def test_a_foreign_state_of_endless_frames_deletes_nothing_else_and_takes_no_time(worker, plate, tmp_path):
    folder = tmp_path / "depth"
    unfinished(worker, plate, folder)
    state = json.loads(state_of(folder).read_text())
    state_of(folder).write_text(json.dumps(state | {"key": "another", "first_frame": 0, "last_frame": 1_000_000}))
    for name in ("disparity.0100.exr.bak", "disparity.1.exr", "disparity.exr", "disparity.0001.EXR"):
        (folder / name).write_text("theirs")
    others = {name: text for name, text in content(folder).items() if text == b"theirs"}
    assert worker.estimate(plate, folder).returncode == exit_codes.OK
    assert others.items() <= content(folder).items()


def test_a_state_that_would_publish_what_is_not_there_harms_no_result(worker, plate, tmp_path):
    folder = tmp_path / "depth"
    assert worker.estimate(plate, folder).returncode == exit_codes.OK
    before = content(folder)
    (folder / ".fathom").mkdir()
    sequence = json.loads((folder / "depth.json").read_text())
    sequence["shots"][0]["last_frame"] = sequence["last_frame"] = 9
    facts = {"key": "k", "first_frame": 1, "last_frame": 9, "staged": True, "phase": "publishing", "replaced": [1, 6]}
    state_of(folder).write_text(json.dumps({**facts, "sequence": sequence}))
    done = worker.estimate(plate, folder)
    assert done.returncode == exit_codes.BAD_OUTPUT and "finished result" in done.stderr
    assert {name: text for name, text in content(folder).items() if name != ".fathom/state.json"} == before


def test_maps_that_go_while_a_run_is_at_work_are_missed_before_it_publishes(worker, plate, tmp_path, helpers):
    folder = tmp_path / "depth"
    process = worker.fork(
        *("estimate", plate, "--output", folder, "--estimator", "running_mean", "--parameter", "pause=0.3")
    )
    helpers.wait_for((folder / "disparity.0003.exr").exists, "a map")
    (folder / "disparity.0002.exr").unlink()
    _, said = process.communicate(timeout=60)
    assert process.returncode == exit_codes.FAILED and "disparity.0002.exr was removed" in said
    assert "Traceback" not in said and not (folder / "depth.json").exists()


def test_a_lock_that_goes_while_a_run_is_at_work_keeps_it_from_publishing(worker, plate, tmp_path, helpers):
    folder = tmp_path / "depth"
    process = worker.fork(
        *("estimate", plate, "--output", folder, "--estimator", "running_mean", "--parameter", "pause=0.3")
    )
    helpers.wait_for((folder / "disparity.0002.exr").exists, "a map")
    (folder / ".fathom" / "lock").unlink()
    _, said = process.communicate(timeout=60)
    assert process.returncode == exit_codes.FAILED and "The lock of" in said and not (folder / "depth.json").exists()


def test_a_sequence_is_removed_and_what_lies_beside_it_stays(worker, plate, tmp_path):
    folder = tmp_path / "depth"
    assert worker.estimate(plate, folder).returncode == exit_codes.OK
    output.remove(folder)
    assert not folder.exists()
    assert worker.estimate(plate, folder).returncode == exit_codes.OK
    (folder / "notes.txt").write_text("theirs")
    output.remove(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
