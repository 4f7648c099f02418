"""The verb without ground truth, and the reports that it writes."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.contract import depth_sequence, exit_codes, plate_files
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.contract.job import Source
from inference.media.exr import read_map, write_map

ROOT = Path(__file__).resolve().parents[3]
WIDTH, HEIGHT, FRAMES = 96, 64, range(1001, 1006)


def texture():
    """An image whose motion can be told."""
    noise = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.clip(128 + 4 * (smooth - smooth.mean()), 0, 255).astype(np.uint8)


def make(root, name, *, estimator="e", noise=0.0):
    """A depth sequence of a still, textured plate: a slanted wall, with noise of its own in every frame."""
    plate, folder = root / "plate", root / name
    plate.mkdir(exist_ok=True)
    folder.mkdir()
    generator = np.random.default_rng(5)
    wall = 1 + np.mgrid[:HEIGHT, :WIDTH][1] / WIDTH
    for number in FRAMES:
        cv2.imwrite(str(plate / f"p.{number}.png"), texture())
        write_map(folder / disparity_name(number), wall + noise * generator.standard_normal(wall.shape))
    depth_sequence.save(
        DepthSequence(
            source=Source(kind="sequence", path=str(plate), files=tuple(f"p.{number}.png" for number in FRAMES)),
            first_frame=FRAMES[0],
            last_frame=FRAMES[-1],
            width=WIDTH,
            height=HEIGHT,
            quantity="relative_disparity",
            shots=(
                Shot(
                    first_frame=FRAMES[0],
                    last_frame=FRAMES[-1],
                    status="done",
                    range=Range(minimum=1.0, maximum=2.0, p1=1.0, p99=2.0),
                ),
            ),
            estimator=estimator,
            fingerprint="f",
        ),
        folder,
    )
    return folder


@pytest.fixture
def still(tmp_path):
    return make(tmp_path, "still")


@pytest.fixture
def ground_truth(tmp_path):
    """The wall as a folder of ground truth, seen by a camera that stands still."""
    folder = tmp_path / "truth"
    (folder / "depth").mkdir(parents=True)
    (folder / "rgb").mkdir()
    depth = np.round(1000 / (1 + np.mgrid[:HEIGHT, :WIDTH][1] / WIDTH)).astype(np.uint16)
    for place in range(len(FRAMES)):
        cv2.imwrite(str(folder / "depth" / f"{place:05d}.png"), depth)
        cv2.imwrite(str(folder / "rgb" / f"{place:05d}.png"), texture())
    camera = {"width": WIDTH, "height": HEIGHT, "fx": 90.0, "fy": 90.0, "cx": 47.5, "cy": 31.5, "fps": 24}
    frames = [{"frame": place, "c2w_opencv": np.eye(4).tolist()} for place in range(len(FRAMES))]
    (folder / "camera.json").write_text(json.dumps({**camera, "frames": frames}))
    return folder


def page(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def test_without_ground_truth_temporal_stability_is_printed(worker, still, tmp_path):
    done = worker("evaluate", still)
    assert done.returncode == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert head.split() == ["frames", "flicker", "drift", "across", "windows", "jumps", "at", "frames"]
    assert row.split() == ["1001-1005", "0.00%", "-", "-", "none"]
    noisy = worker("evaluate", still, make(tmp_path, "noisy", estimator="other", noise=0.02))
    still_row, noisy_row = (line.split() for line in noisy.stdout.splitlines()[1:])
    assert still_row[-1] == "e" and noisy_row[-1] == "other"
    assert 1.0 < float(noisy_row[1].rstrip("%")) < 3.0, "0.98 of the noise's deviation, which is 2 %"


def test_a_plate_that_is_another_by_now_is_said_beside_the_temporal_stability(worker, still, tmp_path):
    made = depth_sequence.load(still)
    estimated_from = dataclasses.replace(made, plate_files=plate_files.look(made.source, None, None))
    depth_sequence.save(estimated_from, still)
    assert worker("evaluate", still).stderr == ""
    cv2.imwrite(str(tmp_path / "plate" / "p.1003.png"), texture()[::-1])
    done = worker("evaluate", still)
    assert done.returncode == 0 and "is not the file that the depth was estimated from" in done.stderr


def test_temporal_stability_as_json_has_no_nan(worker, still):
    (facts,) = json.loads(worker("evaluate", still, "--json").stdout, parse_constant=pytest.fail)
    assert facts["name"] == "e" and facts["first_frame"] == 1001 and facts["flicker"] == pytest.approx(0, abs=1e-6)
    assert facts["flicker_by_frame"][0] is None and len(facts["flicker_by_frame"]) == len(FRAMES)


def test_a_shot_that_cannot_be_measured_leaves_the_others(worker, still, tmp_path):
    whole = depth_sequence.load(still)
    (shot,) = whole.shots
    first, rest = dataclasses.replace(shot, last_frame=1001), dataclasses.replace(shot, first_frame=1002)
    flat = dataclasses.replace(first, range=Range(minimum=1.0, maximum=1.0, p1=1.0, p99=1.0))
    depth_sequence.save(dataclasses.replace(whole, shots=(flat, rest)), still)
    done = worker("evaluate", still)
    assert done.returncode == 0 and "e, frames 1001-1001: The disparity of the frames" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["1002-1005"]
    depth_sequence.save(dataclasses.replace(whole, shots=(flat,)), still)
    nothing = worker("evaluate", still)
    assert nothing.returncode == exit_codes.USAGE and "is constant" in nothing.stderr and not nothing.stdout


def test_what_was_skipped_is_printed_beside_the_temporal_stability(worker, still):
    broken = read_map(still / disparity_name(1003)).copy()
    broken[:4, :4] = np.nan, np.inf, -np.inf, np.nan
    write_map(still / disparity_name(1003), broken)
    (still / disparity_name(1005)).unlink()
    whole = depth_sequence.load(still)
    refused = Shot(first_frame=1006, last_frame=1009, status="refused", reason="It shows nothing.")
    depth_sequence.save(dataclasses.replace(whole, last_frame=1009, shots=(*whole.shots, refused)), still)
    done = worker("evaluate", still)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "e, frames 1006-1009 have no depth: It shows nothing.",
        "e, frames 1001-1005: Of 4 pairs of neighboring frames, these were not measured: 1 without an estimate in one "
        "of the two.",
        "e, frames 1001-1005: Pixels without finite disparity were skipped: 16.",
    ]


@pytest.mark.slow
def test_a_report_says_what_was_left_out_of_its_tables(worker, still, ground_truth, tmp_path):
    (still / disparity_name(1005)).unlink()
    done = worker("evaluate", still, "--truth", ground_truth, "--report", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    text = page(tmp_path / "report")
    assert "e: 1 of 4 pairs of neighboring frames could not be compared in space: 1 with no estimate." in text
    assert (
        "e, temporal stability: Of 4 pairs of neighboring frames, these were not measured: 1 without an estimate"
        in text
    )


def test_one_frame_is_too_little_for_temporal_stability(worker, still):
    whole = depth_sequence.load(still)
    (one,) = whole.shots
    alone = dataclasses.replace(one, last_frame=1001)
    depth_sequence.save(dataclasses.replace(whole, last_frame=1001, shots=(alone,)), still)
    done = worker("evaluate", still)
    assert done.returncode == 0 and "temporal stability needs 2 frames" in done.stderr


@pytest.mark.slow
def test_a_report_without_truth_has_profiles_at_the_lines_asked_for(worker, still, tmp_path):
    out = tmp_path / "report"
    done = worker("evaluate", still, "--report", out, "--column", 10, "--column", 90, "--row", 5)
    assert done.returncode == 0, done.stderr
    assert f"The report is {out / 'index.html'}." in done.stderr
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"shot1_profile_column1.png", "shot1_profile_column2.png", "shot1_profile_row.png"} < names
    assert "shot1_steadiness.png" in names and "shot1_errors.png" not in names
    assert "Temporal stability of the static region" in page(out)


def test_a_report_with_truth_has_everything(worker, still, ground_truth, tmp_path):
    out = tmp_path / "report"
    other = make(tmp_path, "other", noise=0.01)
    done = worker("evaluate", still, other, "--truth", ground_truth, "--report", out)
    assert done.returncode == 0, done.stderr
    assert "| still |" in done.stdout and "| other |" in done.stdout, "the same estimator twice, by their folders"
    text = page(out)
    for words in (
        "Against ground truth",
        "Temporal stability of the static region",
        "Consistency in space",
        "truth, frames 1001-1005",
    ):
        assert words in text
    names = {path.name.removeprefix("shot1_") for path in (out / "figures").iterdir()}
    assert names == {
        "side_by_side.png",
        "errors.png",
        "profile_column.png",
        "profile_row.png",
        "mean.png",
        "errors_by_frame.png",
        "steadiness.png",
        "spectra.png",
        "sheet1_still.png",
        "sheet2_other.png",
    }


@pytest.mark.slow
def test_a_plate_that_is_gone_costs_the_temporal_stability_and_nothing_else(worker, still, ground_truth, tmp_path):
    for path in (tmp_path / "plate").iterdir():
        path.unlink()
    out = tmp_path / "report"
    done = worker("evaluate", still, "--truth", ground_truth, "--report", out)
    assert done.returncode == 0, done.stderr
    text = page(out)
    assert "e, temporal stability:" in text and "Temporal stability of the static region" not in text
    assert "Consistency in space" in text, "by the truth's own images"
    alone = worker("evaluate", still)
    assert alone.returncode == exit_codes.BAD_CLIP and "None of the 5 files of the sequence" in alone.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--column", "96", "--report", "out"), "There is no column 96 in an image of 96; choose one from 0 to 95"),
        (("--row", "3"), "--row needs a report. Add --report DIR."),
        (("--protocol", "depthcrafter"), "--protocol needs ground truth. Add --truth DIR."),
        (("--markdown",), "--markdown needs ground truth"),
        (("--layout", "bonn"), "--layout describes ground truth. Add --truth DIR."),
        (("--rendering", "final"), "--rendering selects images of Sintel. Add --layout sintel."),
        (("--work", "x"), "--work needs --suite"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(worker, still, arguments, words):
    done = worker("evaluate", still, *arguments)
    assert done.returncode == exit_codes.USAGE and words in done.stderr and not done.stdout


def test_the_same_sequence_twice_is_refused(worker, still):
    done = worker("evaluate", still, still)
    assert done.returncode == exit_codes.USAGE and "named twice" in done.stderr


@pytest.mark.slow
def test_evaluating_without_a_report_needs_no_package_of_reports(still, ground_truth, tmp_path):
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "jinja2", "PIL"):
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Blocked())
from inference.commands.main import main
sys.exit(main(sys.argv[1:]))
"""

    def run(*arguments):
        command = [sys.executable, "-c", code, "evaluate", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FATHOM_HOME": str(tmp_path / "home")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert run(still, "--truth", ground_truth).returncode == run(still).returncode == 0
    missing = run(still, "--report", tmp_path / "report")
    assert missing.returncode == exit_codes.MISSING and "pip install" in missing.stderr
    assert "Traceback" not in missing.stderr and not missing.stdout, "said before anything is measured"
