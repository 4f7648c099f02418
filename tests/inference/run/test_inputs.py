"""A clip that changes while its depth is estimated."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from inference.common.failures import Failure
from inference.contract import exit_codes, job, plate_files
from inference.media.source import describe
from inference.run import inputs
from tests.footage_maker import movie, stills
from tests.marks import rest_slow

ESTIMATE = ("--estimator", "running_mean", "--parameter", "pause=0.25")


def other(path):
    """Another image, or movie, in the place of one."""
    made = path.with_name(f"other{path.suffix}")
    if path.suffix == ".mp4":
        movie(made, range(20, 32))
    else:
        made = stills(path.parent.parent / "others", [7], images=[np.full((48, 64, 3), 90, np.uint8)])[0]
    return made


def replaced(path):
    other(path).replace(path)


def rewritten(path):
    path.write_bytes(other(path).read_bytes())


def appended(path):
    with open(path, "ab") as file:
        file.write(b"\0" * 64)


def alike(path):
    """Another file of the same size and time."""
    facts, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    made = path.with_name("alike")
    made.write_bytes(data)
    os.utime(made, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    made.replace(path)


def gone(path):
    path.unlink()


@pytest.fixture(params=["movie", "sequence"])
def plate(request, tmp_path):
    (tmp_path / "plate").mkdir()
    if request.param == "movie":
        return movie(tmp_path / "plate" / "clip.mp4", range(12))
    return stills(tmp_path / "plate", range(1, 13))[3]


def begun(worker, plate, folder, helpers, *options):
    process = worker.fork("estimate", plate, "--output", folder, *ESTIMATE, *options)
    kept = (folder / ".fathom" / "low") if "--full-size" in options else folder
    helpers.wait_for(lambda: list(kept.glob("disparity.*.exr")) if kept.is_dir() else None, "a map")
    return process


@pytest.mark.parametrize("change", rest_slow([replaced, rewritten, appended, alike]))
@pytest.mark.parametrize("options", rest_slow([(), ("--full-size",)]))
def test_a_clip_that_changes_ends_the_run_and_nothing_of_it_is_kept(change, options, plate, worker, tmp_path, helpers):
    folder = tmp_path / "depth"
    process = begun(worker, plate, folder, helpers, *options)
    shutil.copy2(plate, tmp_path / "before")
    change(plate)
    _, said = process.communicate(timeout=90)
    assert process.returncode == exit_codes.FAILED, said
    assert str(plate) in said and "while it was worked on" in said and "Traceback" not in said
    assert not (folder / "depth.json").exists() and not list(folder.rglob("*.exr")), "nothing of two clips is kept"


@pytest.mark.slow
@pytest.mark.parametrize("options", rest_slow([(), ("--full-size",)]))
def test_a_clip_that_is_away_for_a_while_ends_the_run_and_what_is_finished_is_kept(
    options, plate, worker, tmp_path, helpers
):
    folder, whole = tmp_path / "depth", tmp_path / "whole"
    assert worker.estimate(plate, whole, *ESTIMATE[2:], *options).returncode == exit_codes.OK
    process = begun(worker, plate, folder, helpers, *options)
    plate.parent.rename(tmp_path / "away")
    _, said = process.communicate(timeout=90)
    assert process.returncode == exit_codes.FAILED, said
    assert "disappeared while it was worked on" in said and "Traceback" not in said
    written = {path: path.stat().st_mtime_ns for path in folder.glob("disparity.*.exr")}
    assert written or "--full-size" in options
    (tmp_path / "away").rename(plate.parent)
    done = worker.estimate(plate, folder, *ESTIMATE[2:], *options)
    assert done.returncode == exit_codes.OK, done.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert helpers.contents(folder) == helpers.contents(whole)


def test_nothing_is_kept_where_some_files_are_away_and_others_have_changed(tmp_path):
    plate = stills(tmp_path / "plate", range(1, 13))
    wanted = job.Job(source=describe(plate[0]), output=str(tmp_path / "depth"))
    read = inputs.Inputs(wanted, inputs.note(wanted), first=1, last=12)
    gone(plate[2])
    with pytest.raises(Failure, match=r"0003\.png disappeared") as raised:
        read.check()
    assert not isinstance(raised.value, inputs.Changed)
    appended(plate[7])
    with pytest.raises(inputs.Changed, match=r"0008\.png changed"):
        read.check()


@pytest.mark.parametrize("options", rest_slow([(), ("--full-size",)]))
def test_what_only_looks_like_a_change_is_none(options, plate, worker, tmp_path, helpers):
    process = begun(worker, plate, tmp_path / "depth", helpers, *options)
    plate.chmod(0o444)
    if os.name != "nt":
        (tmp_path / "backup").hardlink_to(plate)
    plate.read_bytes()
    _, said = process.communicate(timeout=90)
    assert process.returncode == exit_codes.OK, said


def test_a_matte_that_changes_ends_the_run(worker, tmp_path, helpers):
    plate = stills(tmp_path / "plate", range(1, 13))[0]
    mattes = stills(tmp_path / "mattes", range(1, 13))
    process = begun(worker, plate, tmp_path / "depth", helpers, "--mattes", tmp_path / "mattes")
    appended(mattes[4])
    _, said = process.communicate(timeout=90)
    assert process.returncode == exit_codes.FAILED and str(mattes[4]) in said


def test_the_current_folder_is_none_of_the_clips_files(worker, tmp_path, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    stills(tmp_path / "plate", range(1, 7))
    options = {"cwd": tmp_path, "env": {key: value for key, value in worker.environment.items() if key != "OCIO"}}
    done = worker.estimate("plate", "depth", **options)  # which is made in the current folder
    assert done.returncode == exit_codes.OK, done.stderr
    assert (tmp_path / "depth" / "depth.json").is_file()


def test_a_built_in_configuration_is_no_file(tmp_path):
    plate = stills(tmp_path / "plate", range(1, 5))
    source = replace(describe(plate[0]), ocio_config="ocio://default")
    wanted = job.Job(source=source, output=str(tmp_path / "depth"))
    inputs.Inputs(wanted, inputs.note(wanted), first=1, last=4).check()


def test_another_color_configuration_makes_another_job(tmp_path, monkeypatch):
    plate, config = stills(tmp_path / "plate", range(1, 5)), tmp_path / "config.ocio"
    wanted = job.Job(source=describe(plate[0]), output=str(tmp_path / "depth"))
    monkeypatch.delenv("OCIO", raising=False)
    keys = [key_of(wanted)]
    monkeypatch.setenv("OCIO", str(config))
    assert key_of(wanted) == keys[0], "one that is not there is not read"
    for text in ("one", "another"):
        config.write_text(text)
        keys.append(key_of(wanted))
    assert len(set(keys)) == 3


def test_a_result_has_what_its_colors_were_read_by(tmp_path, monkeypatch):
    plate, config = stills(tmp_path / "plate", range(1, 5)), tmp_path / "config.ocio"
    wanted = job.Job(source=describe(plate[0]), output=str(tmp_path / "depth"))
    monkeypatch.setenv("OCIO", str(config))

    def beside():
        return inputs.Inputs(wanted, inputs.note(wanted), first=1, last=4).other_files()

    assert beside() is None
    config.write_text("one")
    found = beside()
    config.write_text("two")
    assert found is not None and found.are_others(beside())


@pytest.mark.parametrize(("count", "older"), [(3, 10), (250, 10), (500, 60), (4000, 1200)])
def test_one_frame_that_was_replaced_by_an_older_one_of_the_same_size_makes_another_clip(count, older):
    """As of DPX: a file manager keeps the time of what it copies. A disk that keeps two seconds makes no other clip."""
    second, now = 1_000_000_000, 1_780_086_400_000_000_000
    times = [now + 7 * second * place + 123 for place in range(count)]
    made = plate_files.of((64, time) for time in times)
    for rounded in ([time // (2 * second) * 2 * second for time in times], [time + 2 * second for time in times]):
        assert not made.are_others(plate_files.of((64, time) for time in rounded))
    for place in {0, count // 2, count - 2}:
        replaced = [time - older * second * (index == place) for index, time in enumerate(times)]
        found = plate_files.of((64, time) for time in replaced)
        assert made.are_others(found) and found.are_others(made)
        assert not replace(made, averages=None).are_others(found), "as in a depth.json of before"
    assert made.are_others(plate_files.of((64, time) for time in reversed(times))), "the clip was turned around"


def test_what_a_file_says_of_when_frames_were_written_is_as_long_as_the_clip(tmp_path):
    path = stills(tmp_path / "plate", range(1, 5))
    now = plate_files.look(describe(path[0]), 1, 4)
    assert len(now.averages) == 4
    assert replace(now, averages=()).are_others(now) and now.are_others(replace(now, averages=now.averages[:2]))
    assert len(plate_files.of([(1, 1)] * 100_001).averages) <= 256


def test_only_what_gives_the_same_to_the_bit_is_resumed(tmp_path):
    plate = stills(tmp_path / "plate", range(1, 5))
    wanted = job.Job(source=describe(plate[0]), output=str(tmp_path / "depth"))
    elsewhere = job.with_output(wanted, str(tmp_path / "elsewhere"))
    assert key_of(elsewhere) == key_of(wanted)
    others = [
        key_of(replace(wanted, size=128)),
        key_of(replace(wanted, first_frame=2)),
        key_of(wanted, versions={"numpy": "3"}),
        key_of(wanted, device="A GPU"),
        key_of(wanted, given={"stage1_from": "abc"}),
    ]
    rewritten(plate[2])
    others.append(key_of(wanted))
    assert len({key_of(elsewhere), *others}) == 6 and key_of(wanted) == others[-1]


def key_of(wanted, **facts):
    read = inputs.Inputs(wanted, inputs.note(wanted), first=wanted.first_frame or 1, last=4)
    return read.key(**{"versions": {}, "device": "cpu"} | facts)


@pytest.mark.slow
def test_a_frame_outside_the_range_may_change(worker, tmp_path, helpers):
    plate = stills(tmp_path / "plate", range(1, 13))
    process = begun(worker, plate[0], tmp_path / "depth", helpers, "--frames", "1-6")
    appended(plate[9])
    _, said = process.communicate(timeout=90)
    assert process.returncode == exit_codes.OK, said


@pytest.mark.slow
def test_an_earlier_result_stays_whole_when_the_clip_changes_under_its_successor(worker, tmp_path, helpers):
    plate, folder = stills(tmp_path / "plate", range(1, 13)), tmp_path / "depth"
    assert worker.estimate(plate[0], folder).returncode == exit_codes.OK
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    process = worker.fork("estimate", plate[0], "--output", folder, *ESTIMATE, "--overwrite")
    staged = folder / ".fathom" / "new"
    helpers.wait_for(lambda: list(staged.glob("*.exr")) if staged.is_dir() else None, "a map")
    appended(plate[2])
    assert process.wait(90) == exit_codes.FAILED
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_a_run_that_goes_on_after_a_change_starts_afresh(worker, tmp_path, helpers):
    plate, folder = movie(tmp_path / "clip.mp4", range(12)), tmp_path / "depth"
    process = begun(worker, plate, folder, helpers, "--full-size")
    process.kill()
    process.wait()
    replaced(plate)
    again = worker("estimate", plate, "--output", folder, *ESTIMATE, "--full-size")
    assert again.returncode == exit_codes.OK and "starts from the beginning" in again.stderr
    fresh = worker("estimate", plate, "--output", tmp_path / "fresh", *ESTIMATE, "--full-size")
    assert fresh.returncode == exit_codes.OK and "from the beginning" not in fresh.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("*.exr")} == {
        path.name: path.read_bytes() for path in (tmp_path / "fresh").glob("*.exr")
    }


@pytest.fixture
def read(tmp_path):
    plate = stills(tmp_path / "plate", range(1, 5))
    wanted = job.Job(source=describe(plate[0]), output=str(tmp_path / "depth"))
    return plate, inputs.Inputs(wanted, inputs.note(wanted), first=1, last=4)


def test_only_the_files_of_some_frames_are_looked_at(read):
    plate, found = read
    appended(plate[3])
    found.check(1, 3)
    with pytest.raises(inputs.Changed, match=plate[3].name):
        found.check()
    with pytest.raises(inputs.Changed):
        found.check(4, 4)


def test_a_disk_that_numbers_its_files_anew_changes_none(read, monkeypatch):
    """As some network disks do, when they have forgotten a file for a while."""
    look = inputs._facts
    monkeypatch.setattr(inputs, "_facts", lambda path: replace(look(path), file=look(path).file + 1))
    read[1].check()
    monkeypatch.setattr(
        inputs, "_facts", lambda path: replace(look(path), file=look(path).file + 1, noted=look(path).noted + 1)
    )
    with pytest.raises(inputs.Changed):
        read[1].check()
