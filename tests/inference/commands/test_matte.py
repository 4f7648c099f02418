"""The command `matte`, on a network of the test's own: whoever is bright is a person."""

import errno
import json
import os

import cv2
import numpy as np
import pytest

from inference import mattes
from inference.commands import main
from inference.common import lock
from inference.common.failures import Cancelled
from inference.contract import exit_codes, job, made_mattes
from inference.mattes import network
from inference.media import exr, processing_size
from inference.media.exr import read_map
from inference.media.mattes import mattes as own_mattes
from inference.run import matte_sequence, stop
from tests.inference.support import stand_in_mattes

COUNT, HEIGHT, WIDTH = 4, 48, 64


@pytest.fixture(autouse=True)
def signals_stay(monkeypatch):
    """The verb runs in the test's own process, whose signals are pytest's."""
    monkeypatch.setattr(stop, "listen_to_signals", lambda asked: None)


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(COUNT):
        image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
        image[10:40, 5 + 8 * index : 20 + 8 * index] = 230
        cv2.imwrite(str(folder / f"shot.{1001 + index}.png"), image)
    return folder


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(mattes, "missing", list)
    monkeypatch.setattr(network, "RobustVideoMatting", stand_in_mattes.Bright)


def test_one_exr_a_frame_with_the_clips_own_numbers(clip, tmp_path, installed):
    output = tmp_path / "mattes"
    assert main.main(["matte", str(clip), "--output", str(output)]) == exit_codes.OK
    names = [f"matte.{1001 + i}.exr" for i in range(COUNT)]
    assert sorted(path.name for path in output.iterdir()) == [*names, made_mattes.SIDECAR]
    first = read_map(output / "matte.1001.exr")
    assert first.shape == (HEIGHT, WIDTH) and first[20, 10] > 0.7 and first[20, 40] == 0
    made = made_mattes.made(output)
    assert (made.plate, made.first_frame, made.last_frame) == (str(clip), 1001, 1004)
    (output / names[2]).unlink()
    assert made_mattes.made(output) is None, "they are not whole any more"


def test_they_are_mattes_that_an_estimate_takes(clip, tmp_path, installed):
    output = tmp_path / "mattes"
    main.main(["matte", str(clip), "--output", str(output), "--frames", "1002-1003"])
    found = own_mattes(output, 1002, 1003, (WIDTH, HEIGHT))
    assert found[0][20, 15] and not found[0][20, 6] and not found[0][2, 15]


def test_earlier_mattes_are_replaced_only_where_it_is_asked_for(clip, tmp_path, installed, capsys):
    command = ["matte", str(clip), "--output", str(tmp_path / "mattes"), "--size", "64"]
    main.main(command)
    assert main.main(command) == exit_codes.BAD_OUTPUT
    assert "--overwrite" in capsys.readouterr().err
    assert main.main([*command, "--overwrite"]) == exit_codes.OK
    assert "earlier run" not in capsys.readouterr().err
    assert main.main([*command, "--overwrite", "--frames", "1002-1003"]) == exit_codes.OK
    assert "Frames 1001, 1004 in the folder are of an earlier run and stay" in capsys.readouterr().err
    first, *_, last = sorted((tmp_path / "mattes").glob("*.exr"))
    last.unlink()
    last.mkdir()
    before = first.stat().st_mtime_ns
    assert main.main([*command, "--overwrite"]) == exit_codes.BAD_OUTPUT
    assert f"{last} is a folder" in capsys.readouterr().err
    assert first.stat().st_mtime_ns == before, "nothing is replaced where not all can be"


def test_what_is_missing_is_one_sentence_before_the_clip_is_read(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    assert main.main(["matte", str(clip), "--output", str(tmp_path / "mattes")]) == exit_codes.MISSING
    assert "robust-video-matting" in capsys.readouterr().err and not (tmp_path / "mattes").exists()


def test_what_a_killed_run_left_is_cleared_and_what_is_not_ours_stays(clip, tmp_path, installed):
    output = tmp_path / "mattes"
    left = output / matte_sequence.SCRATCH
    ours = [left / "clip" / "frames.u8", left / "shot.0001-0004" / "matte-forwards" / "000001.npy", left / "lock"]
    theirs = left / "clip" / "notes.txt"
    for path in (*ours, theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert main.main(["matte", str(clip), "--output", str(output)]) == exit_codes.OK
    assert [path for path in left.rglob("*") if path.is_file()] == [theirs]
    theirs.unlink()
    assert main.main(["matte", str(clip), "--output", str(output), "--overwrite"]) == exit_codes.OK
    assert not left.exists() and len(list(output.iterdir())) == COUNT + 1


def test_one_run_at_a_time_writes_into_a_folder(clip, tmp_path, installed, capsys):
    (tmp_path / "mattes").mkdir()
    held = lock.acquire(tmp_path / "mattes" / matte_sequence.SCRATCH)
    try:
        command = ["matte", str(clip), "--output", str(tmp_path / "mattes"), "--overwrite"]
        assert main.main(command) == exit_codes.BAD_OUTPUT
        assert "is writing into" in capsys.readouterr().err
        assert not list((tmp_path / "mattes").glob("*.exr"))
    finally:
        held.release()


@pytest.mark.parametrize("inside", ["", "clip"])
def test_a_scratch_folder_that_is_a_link_is_declined(clip, tmp_path, installed, capsys, inside):
    (tmp_path / "theirs" / "clip").mkdir(parents=True)
    (tmp_path / "theirs" / "clip" / "frames.u8").write_bytes(b"theirs")
    link = tmp_path / "mattes" / matte_sequence.SCRATCH / inside
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "theirs" / inside)
    assert main.main(["matte", str(clip), "--output", str(tmp_path / "mattes")]) == exit_codes.BAD_OUTPUT
    assert "link" in capsys.readouterr().err
    assert (tmp_path / "theirs" / "clip" / "frames.u8").read_bytes() == b"theirs"


def test_a_run_that_fails_leaves_no_folder_behind(tmp_path, clip, installed, monkeypatch):
    def broken(image, state):
        raise ZeroDivisionError

    monkeypatch.setattr(network, "RobustVideoMatting", lambda: broken)
    assert main.main(["matte", str(clip), "--output", str(tmp_path / "a" / "mattes")]) == exit_codes.FAILED
    assert not (tmp_path / "a").exists()


def test_a_clip_that_changes_while_it_is_read_makes_no_mattes(clip, tmp_path, installed, monkeypatch, capsys):
    prepare = processing_size.prepare

    def slowly(*arguments, **options):
        prepared = prepare(*arguments, **options)
        cv2.imwrite(str(clip / "shot.1003.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        return prepared

    monkeypatch.setattr(processing_size, "prepare", slowly)
    assert main.main(["matte", str(clip), "--output", str(tmp_path / "mattes")]) == exit_codes.FAILED
    assert "shot.1003.png changed while" in capsys.readouterr().err and not (tmp_path / "mattes").exists()


def interrupted(monkeypatch, output, frames):
    """Make the verb end as by a cancel after so many frames were looked at."""
    network_of = network.RobustVideoMatting
    looked = []

    def stopping():
        made = network_of()

        def look(image, state):
            if len(looked) == frames:
                raise Cancelled
            looked.append(0)
            return made(image, state)

        return look

    with monkeypatch.context() as patched:
        patched.setattr(network, "RobustVideoMatting", stopping)
        assert main.main(["matte", *output]) == exit_codes.CANCELLED


def counted(monkeypatch):
    """How often the network is asked from now on."""
    network_of, calls = network.RobustVideoMatting, []

    def counting():
        made = network_of()
        return lambda image, state: (calls.append(0), made(image, state))[1]

    monkeypatch.setattr(network, "RobustVideoMatting", counting)
    return calls


def test_a_cancelled_run_is_resumed_and_writes_nothing_before_all_is_found(clip, tmp_path, installed, monkeypatch):
    output = tmp_path / "mattes"
    command = [str(clip), "--output", str(output), "--cuts", "1003"]
    interrupted(monkeypatch, command, 5)  # of the first shot's four looks, and one of the second's
    assert [path.name for path in output.iterdir()] == [made_mattes.SCRATCH]
    assert not (output / made_mattes.SCRATCH / "clip").exists(), "the clip is read again"
    assert made_mattes.unfinished(output) and made_mattes.made(output) is None
    calls = counted(monkeypatch)
    assert main.main(["matte", *command]) == exit_codes.OK
    assert len(calls) == 4, "the first shot is not looked at again"
    assert made_mattes.made(output).last_frame == 1004 and made_mattes.unfinished(output) is None


def test_another_job_does_not_take_up_what_was_left(clip, tmp_path, installed, monkeypatch):
    output = tmp_path / "mattes"
    interrupted(monkeypatch, [str(clip), "--output", str(output)], 6)
    calls = counted(monkeypatch)
    assert main.main(["matte", str(clip), "--output", str(output), "--frames", "1001-1003"]) == exit_codes.OK
    assert len(calls) == 6 and made_mattes.made(output).last_frame == 1003
    assert not (output / made_mattes.SCRATCH).exists()


def test_replacing_that_is_interrupted_leaves_the_old_mattes_as_they_were(clip, tmp_path, installed, monkeypatch):
    output = tmp_path / "mattes"
    command = [str(clip), "--output", str(output)]
    main.main(["matte", *command])
    before = [path.read_bytes() for path in sorted(output.glob("*.exr"))]
    interrupted(monkeypatch, [*command, "--overwrite", "--cuts", "none"], 6)
    assert [path.read_bytes() for path in sorted(output.glob("*.exr"))] == before and made_mattes.made(output)


def test_a_disk_that_fills_up_leaves_the_old_mattes_whole(clip, tmp_path, installed, monkeypatch, capsys):
    command = ["matte", str(clip), "--output", str(tmp_path / "mattes"), "--overwrite"]
    main.main(command)
    before = {path.name: path.read_bytes() for path in (tmp_path / "mattes").iterdir()}
    for image in clip.iterdir():
        cv2.imwrite(str(image), np.full((HEIGHT, WIDTH, 3), 20, np.uint8))
    write = exr.write_map

    def full(path, opacity):
        if path.name.endswith("1003.exr"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, opacity)

    monkeypatch.setattr(exr, "write_map", full)
    assert main.main(command) == exit_codes.BAD_OUTPUT
    assert "The disk is full" in capsys.readouterr().err
    files = {path.name: path.read_bytes() for path in (tmp_path / "mattes").iterdir() if path.is_file()}
    assert files == before and not list((tmp_path / "mattes").rglob("new"))
    monkeypatch.setattr(exr, "write_map", write)
    assert main.main(command) == exit_codes.OK
    after = {path.name: path.read_bytes() for path in (tmp_path / "mattes").iterdir()}
    assert after.keys() == before.keys() and not any(after[name] == before[name] for name in before)


def test_a_job_file_takes_the_place_of_the_options(clip, tmp_path, installed, capsys):
    from inference.media.source import describe

    wanted = job.Job(
        source=describe(str(clip), 1002, 1003), output=str(tmp_path / "mattes"), first_frame=1002, last_frame=1003
    )
    job.save(wanted, tmp_path / "job.json")
    assert main.main(["matte", "--job", str(tmp_path / "job.json")]) == exit_codes.OK
    assert made_mattes.made(tmp_path / "mattes").fingerprint == wanted.fingerprint()
    assert main.main(["matte", "--job", str(tmp_path / "job.json"), "--size", "64"]) == exit_codes.USAGE
    assert main.main(["matte", str(clip)]) == exit_codes.USAGE
    assert "needs a CLIP and --output DIR, or --job FILE" in capsys.readouterr().err


def test_what_is_missing_is_listed_for_programs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    assert main.main(["matte", "--missing"]) == exit_codes.OK
    kinds = {each["kind"] for each in json.loads(capsys.readouterr().out)}
    assert "weights" in kinds
    with stand_in_mattes.installed():
        main.main(["matte", "--missing"])
    assert json.loads(capsys.readouterr().out) == []


def test_nobody_is_a_warning(clip, tmp_path, installed, monkeypatch, capsys):
    monkeypatch.setattr(
        network, "RobustVideoMatting", lambda: lambda image, state: (np.zeros(image.shape[:2], np.float32), [])
    )
    assert main.main(["matte", str(clip), "--output", str(tmp_path / "mattes")]) == exit_codes.OK
    assert "found nobody in these frames: the mattes are black" in capsys.readouterr().err
