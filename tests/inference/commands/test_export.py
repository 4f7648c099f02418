"""The command `export`: options and their errors, events, an export file, and a cancelled run."""

import json
import signal
import time

import cv2
import numpy as np
import pytest
from depth_writer import write_depth

from inference.commands import main
from inference.contract import exit_codes, export
from inference.contract.export import Export
from inference.run import stop


@pytest.fixture(autouse=True)
def signals_stay(monkeypatch):
    """The verb runs in the test's own process, whose signals are pytest's."""
    monkeypatch.setattr(stop, "listen_to_signals", lambda asked: None)


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depth")
    maps = {number: np.linspace(0.1, 3.9, 48, dtype=np.float32).reshape(6, 8) for number in (7, 8, 9)}
    write_depth(folder, maps, files=[f"shot.{number}.png" for number in maps])
    return folder


def call(*arguments):
    return main.main(["export", *map(str, arguments)])


def test_png(depth, tmp_path, capsys):
    assert call(depth, "--format", "png", "--output", tmp_path / "out", "--no-full-size", "--frames", "8-9") == 0
    out, err = capsys.readouterr()
    assert out == f"2 files of 2 frames: {tmp_path / 'out'}.\n" and "Writing 2 files, " in err
    image = cv2.imread(str(tmp_path / "out" / "shot_depth.8.png"), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16 and image[0, 0] == 0 and image[-1, -1] == 65535
    assert call(depth / "depth.json", "--format", "png", "--output", tmp_path / "far", "--no-full-size",
                "--white", "far", "--percentiles", 0, 100) == 0  # fmt: skip
    image = cv2.imread(str(tmp_path / "far" / "shot_depth.8.png"), cv2.IMREAD_UNCHANGED)
    assert image[0, 0] == 65535 and image[-1, -1] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--format", "exr", "--no-full-size"], exit_codes.USAGE, "give --near and --far"),
        (["--format", "ply", "--near", "1", "--far", "9"], exit_codes.USAGE, "Give --focal-length"),
        (["--format", "png", "--frames", "1-3"], exit_codes.USAGE, "No frame from 1 to 3 has depth"),
        (["--format", "movie", "--percentiles", "9", "3"], exit_codes.USAGE, "--percentiles must be two numbers"),
        (["--format", "movie"], exit_codes.USAGE, "second the movie has with --fps"),
        (["--format", "usd"], exit_codes.USAGE, "blender --command fathom export"),
        (["--format", "exr", "--near", "2"], exit_codes.USAGE, "--near and --far belong together"),
        (["--format", "png"], exit_codes.BAD_CLIP, "show where it is with --plate"),
        (["--format", "chan", "--sensor-width", "24"], exit_codes.USAGE, "--sensor-width needs a --focal-length"),
        (["--format", "png", "--plate", "missing.mov"], exit_codes.BAD_CLIP, "There is nothing at"),
    ],
)
def test_what_cannot_be_exported(depth, tmp_path, capsys, arguments, code, words):
    assert call(depth, "--output", tmp_path / "out", *arguments) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_missing_of_a_command(tmp_path, capsys):
    assert call(tmp_path, "--output", tmp_path / "out") == exit_codes.USAGE
    assert "--format" in capsys.readouterr().err
    assert call(tmp_path, "--output", tmp_path / "out", "--format", "png") == exit_codes.USAGE
    assert "depth.json" in capsys.readouterr().err


def test_an_export_file(depth, tmp_path, capsys):
    wanted = Export(depth=str(depth), output=str(tmp_path / "out"), format="chan", focal_length=36.0)
    export.save(wanted, tmp_path / "wanted.json")
    assert call("--job", tmp_path / "wanted.json") == 0
    lines = (tmp_path / "out" / "shot_camera.chan").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["7", "8", "9"]
    capsys.readouterr()


@pytest.mark.slow
def test_events_and_cancelling(worker, tmp_path):
    """A worker that is asked to end leaves whole files alone, and the same command goes on."""
    maps = {number: np.random.default_rng(number).random((480, 640), np.float32) + 0.2 for number in range(1, 61)}
    depth = tmp_path / "depth"
    write_depth(depth, maps, files=[f"shot.{number}.png" for number in maps])
    command = ("export", depth, "--output", tmp_path / "out", "--format", "exr", "--no-full-size",
               "--near", 1, "--far", 9, "--events")  # fmt: skip
    process = worker.start(*command)
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("out/shot_depth.*.exr"))) < 3:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == exit_codes.CANCELLED
    assert json.loads(out.splitlines()[-1])["code"] == exit_codes.CANCELLED
    assert not list((tmp_path / "out").glob(".tmp*"))
    done = worker(*command)
    assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    assert heard[-1]["event"] == "done" and heard[-1]["frames"] == 60
    assert len([event for event in heard if event["event"] == "frame"]) < 58
    assert len(list((tmp_path / "out").glob("*.exr"))) == 60
