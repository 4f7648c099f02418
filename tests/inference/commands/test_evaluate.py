"""The verb that compares with the ground truth."""

import json
import shutil

import cv2
import numpy as np
import pytest

from inference.contract import depth_sequence, exit_codes
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.contract.job import Source
from inference.evaluation.datasets.flow_file import write_flow
from inference.media.exr import write_map


@pytest.fixture
def folders(tmp_path):
    """Ground truth of four frames of a slanted wall before a still camera, and its exact inverse as an estimate."""
    ground_truth, depth = tmp_path / "truth", tmp_path / "depth"
    (ground_truth / "depth").mkdir(parents=True)
    depth.mkdir()
    z = 1.0 + np.mgrid[:24, :32][1] / 8
    pose = np.eye(4).tolist()
    camera = {"width": 32, "height": 24, "fx": 30.0, "fy": 30.0, "cx": 15.5, "cy": 11.5, "fps": 24}
    frames = [{"frame": index, "c2w_opencv": pose} for index in range(4)]
    (ground_truth / "camera.json").write_text(json.dumps({**camera, "frames": frames}))
    for index in range(4):
        cv2.imwrite(str(ground_truth / "depth" / f"{index:05d}.png"), np.round(z * 1000).astype(np.uint16))
    for number in (1002, 1003):
        write_map(depth / disparity_name(number), 3 / z + 0.5)
    spread = Range(minimum=0.0, maximum=4.0, p1=0.1, p99=3.9)
    names = tuple(f"plate.{number}.png" for number in range(1001, 1005))
    sequence = DepthSequence(
        source=Source(kind="sequence", path=str(tmp_path), files=names),
        first_frame=1002,
        last_frame=1003,
        width=32,
        height=24,
        quantity="relative_disparity",
        shots=(Shot(first_frame=1002, last_frame=1003, status="done", range=spread),),
        estimator="e",
        fingerprint="f",
    )
    depth_sequence.save(sequence, depth)
    return depth, ground_truth


def test_an_exact_estimate_scores_as_one(worker, folders):
    depth, ground_truth = folders
    done = worker("evaluate", depth, "--truth", ground_truth)
    assert done.returncode == 0, done.stderr
    head, row = done.stdout.splitlines()
    columns = "frames region AbsRel RMSE [m] delta1 delta2 delta3 flicker boundary F1 boundary F1 within 1 px"
    assert head.split() == columns.split()
    assert row.split()[:2] == ["1002-1003", "all"]
    absolute_relative, error, *deltas, flicker = map(float, row.split()[2:-2])
    assert absolute_relative < 0.001 and error < 0.003 and deltas == [1.0, 1.0, 1.0] and flicker < 0.001


def test_a_wrong_estimate_scores_worse_and_json_has_every_number(worker, folders):
    depth, ground_truth = folders
    write_map(depth / disparity_name(1003), np.random.default_rng(0).random((24, 32)) + 1)
    (facts,) = json.loads(worker("evaluate", depth, "--truth", ground_truth, "--json").stdout)
    assert facts["first_frame"] == 1002 and facts["frames"] == 2
    assert facts["absolute_relative"] > 0.05 and facts["delta1"] < 1 and facts["flicker"] > 0.05


def test_a_map_that_is_lost_is_counted(worker, folders):
    (folders[0] / "disparity.1003.exr").unlink()
    done = worker("evaluate", folders[0], "--truth", folders[1])
    assert done.returncode == 0
    assert "had no depth" in done.stderr
    assert "0.0000  1.0000" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (
            lambda depth, ground_truth: (depth / "depth.json").unlink(),
            exit_codes.USAGE,
            "contains no depth.json, so it is not a depth sequence",
        ),
        (
            lambda depth, ground_truth: (depth / "disparity.1003.exr").write_bytes(b""),
            exit_codes.BAD_CLIP,
            "disparity.1003.exr",
        ),
        (lambda depth, ground_truth: (ground_truth / "camera.json").unlink(), exit_codes.USAGE, "camera.json"),
        (lambda depth, ground_truth: _shorten(ground_truth), exit_codes.USAGE, "The ground truth has 2 frames"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(worker, folders, spoil, code, words):
    spoil(*folders)
    done = worker("evaluate", folders[0], "--truth", folders[1])
    assert done.returncode == code
    assert words in done.stderr and "Traceback" not in done.stderr


def _shorten(ground_truth):
    facts = json.loads((ground_truth / "camera.json").read_text())
    (ground_truth / "camera.json").write_text(json.dumps({**facts, "frames": facts["frames"][:2]}))
    for index in (2, 3):
        (ground_truth / "depth" / f"{index:05d}.png").unlink()


@pytest.fixture
def noisy(folders):
    """A second estimate of the same clip, not as good."""
    depth, _ = folders
    other = depth.parent / "other"
    other.mkdir()
    random = np.random.default_rng(0)
    for path in depth.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    for number in (1002, 1003):
        noise = 1 + 0.3 * random.random((24, 32))
        write_map(other / disparity_name(number), (3 / (1.0 + np.mgrid[:24, :32][1] / 8) + 0.5) * noise)
    return other


def test_several_estimates_are_ranked(worker, folders, noisy):
    depth, ground_truth = folders
    done = worker("evaluate", depth, noisy, "--truth", ground_truth)
    assert done.returncode == 0, done.stderr
    head, _, exact, other = done.stdout.splitlines()
    assert head.startswith("| Estimator | truth AbsRel ↓ |") and head.endswith("| Average rank ↓ |")
    assert exact.startswith("| depth |") and "**1.0000**" in exact and exact.endswith("| 1.0 |")
    assert other.startswith("| other |") and not other.endswith("| 1.0 |")
    facts = json.loads(worker("evaluate", depth, noisy, "--truth", ground_truth, "--json").stdout)
    assert [row["estimator"] for row in facts["table"]] == ["depth", "other"]
    lines = worker("evaluate", depth, noisy, "--truth", ground_truth, "--csv").stdout.splitlines()
    assert lines[0].startswith("estimator,set,region,metric,mean") and len(lines) > 10


def test_masks_tell_what_moves(worker, folders):
    depth, ground_truth = folders
    masks = ground_truth.parent / "masks"
    masks.mkdir()
    for index in range(4):
        mask = np.zeros((24, 32), np.uint8)
        mask[:, :8] = 255
        cv2.imwrite(str(masks / f"{index}.png"), mask)
    done = worker("evaluate", depth, "--truth", ground_truth, "--mattes", masks, "--markdown")
    assert done.returncode == 0, done.stderr
    assert "### Dynamic objects" in done.stdout


@pytest.mark.slow
def test_regions_and_distances_in_space_are_printed_where_the_truth_has_them(worker, folders):
    depth, ground_truth = folders
    (ground_truth / "dynamic").mkdir()
    (ground_truth / "flow").mkdir()
    for index in range(4):
        mask = np.zeros((24, 32), np.uint8)
        mask[:, :8] = 255
        cv2.imwrite(str(ground_truth / "dynamic" / f"{index:05d}.png"), mask)
        write_flow(ground_truth / "flow" / f"{index:05d}.exr", np.zeros((24, 32, 2)))
    wrong = 3 / (1.0 + np.mgrid[:24, :32][1] / 8) + 0.5
    wrong[:, :8] *= 1.5
    write_map(depth / disparity_name(1003), wrong)
    done = worker("evaluate", depth, "--truth", ground_truth, "--consistency")
    assert done.returncode == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines()]
    assert head[-4:] == ["distance", "[m]", "warp", "error"]
    assert [row[1] for row in rows] == ["all", "static", "moving"] and len(rows[1]) == len(rows[2]) == 7
    assert float(rows[2][2]) > 2 * float(rows[1][2]), "what moves is what is wrong"
    assert rows[0][-2] == "-" and float(rows[0][-1]) < 0.001, "no frames are 10 apart, and what stands still is right"
    (facts,) = json.loads(worker("evaluate", depth, "--truth", ground_truth, "--consistency", "--json").stdout)
    assert facts["regions"]["moving"]["delta1"] < facts["regions"]["static"]["delta1"]
    assert facts["consistency"]["neighbors"]["points"] > 400 and facts["consistency"]["spaced"]["distance"] is None
    table = worker("evaluate", depth, "--truth", ground_truth, "--consistency", "--markdown").stdout
    assert "truth warp error ↓" in table and "### Dynamic objects" in table


def test_consistency_without_a_camera_path_is_a_sentence_beside_the_figures(worker, folders):
    depth, ground_truth = folders
    camera = json.loads((ground_truth / "camera.json").read_text())
    (ground_truth / "camera.json").write_text(json.dumps({**camera, "frames": [{"c2w_opencv": None}] * 4}))
    done = worker("evaluate", depth, "--truth", ground_truth, "--consistency")
    assert done.returncode == 0 and "truth has no camera path" in done.stderr
    *_, flicker, _, _, distance, warp_error = done.stdout.splitlines()[1].split()
    assert [flicker, distance, warp_error] == ["-", "-", "-"]


def test_a_data_sets_layout_and_protocol(worker, folders):
    """Bonn's, of which the published protocol takes frames 30 to 139."""
    depth, ground_truth = folders
    bonn = ground_truth.parent / "rgbd_bonn_made_up"
    for part in ("rgb", "depth"):
        (bonn / part).mkdir(parents=True)
        (bonn / f"{part}.txt").write_text("".join(f"{index / 30:.4f} {part}/{index}.png\n" for index in range(40)))
    z = 1.0 + np.mgrid[:24, :32][1] / 8
    for index in range(40):
        cv2.imwrite(str(bonn / "rgb" / f"{index}.png"), np.zeros((24, 32, 3), np.uint8))
        cv2.imwrite(str(bonn / "depth" / f"{index}.png"), np.round(z * 5000).astype(np.uint16))
    bonns = ("--truth", bonn, "--layout", "bonn")
    plain = worker("evaluate", depth, *bonns)
    assert plain.returncode == 0 and plain.stdout.splitlines()[1].split()[0] == "1002-1003"
    none = worker("evaluate", depth, *bonns, "--protocol", "depthcrafter")
    assert none.returncode == exit_codes.USAGE
    assert "the frames 1002-1003 and the ground truth the frames 1031-1040" in none.stderr
    prepared = worker("evaluate", depth, *bonns, "--protocol", "depthcrafter", "--prepared")
    assert prepared.returncode == 0, prepared.stderr
    assert "| e | 0.0" in prepared.stdout and "8 frames with ground truth" in prepared.stderr


def test_what_was_left_out_is_told_beside_the_figures(worker, folders):
    depth, ground_truth = folders
    holes = 3 / (1.0 + np.mgrid[:24, :32][1] / 8)
    holes[:4] = np.nan
    write_map(depth / disparity_name(1003), holes)
    done = worker("evaluate", depth, "--truth", ground_truth)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    assert "128 pixels with ground truth (8.3%) had no finite estimate" in done.stderr
    assert "2 frames with ground truth, of 1001 to 1004, had no depth" in done.stderr
    (facts,) = json.loads(worker("evaluate", depth, "--truth", ground_truth, "--json").stdout)
    assert facts["pixels_without_estimate"] == 128
    assert len(facts["by_frame"]["all"]["absolute_relative"]) == 2


def _resize(ground_truth, size, *, camera=True):
    if camera:
        facts = json.loads((ground_truth / "camera.json").read_text())
        (ground_truth / "camera.json").write_text(json.dumps({**facts, "width": size[0], "height": size[1]}))
    for path in (ground_truth / "depth").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), -1), size, interpolation=cv2.INTER_NEAREST))


def _blank(ground_truth):
    for path in (ground_truth / "depth").iterdir():
        cv2.imwrite(str(path), np.zeros((24, 32), np.uint16))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda ground_truth: _resize(ground_truth, (24, 32)), "32 x 24 pixels and the ground truth 24 x 32"),
        (
            lambda ground_truth: _resize(ground_truth, (64, 48), camera=False),
            "is 64 x 48 pixels and the clip's depth 32 x 24",
        ),
        (_blank, "has no depth from 0.001 to 80.0 m"),
    ],
)
def test_truth_that_cannot_serve_is_a_sentence(worker, folders, spoil, words):
    depth, ground_truth = folders
    spoil(ground_truth)
    done = worker("evaluate", depth, "--truth", ground_truth)
    assert done.returncode == exit_codes.USAGE and words in done.stderr and "Traceback" not in done.stderr


def test_one_of_several_clips_is_named(worker, folders):
    depth, ground_truth = folders
    for name in ("one", "two"):
        shutil.copytree(ground_truth, ground_truth.parent / "clips" / name)
    asked = worker("evaluate", depth, "--truth", ground_truth.parent / "clips")
    assert asked.returncode == exit_codes.USAGE and "there are 2 clips: one, two. Name one with --clip" in asked.stderr
    wrong = worker("evaluate", depth, "--truth", ground_truth.parent / "clips", "--clip", "three")
    assert wrong.returncode == exit_codes.USAGE and "there is no clip three: one, two" in wrong.stderr
    assert worker("evaluate", depth, "--truth", ground_truth.parent / "clips", "--clip", "two").returncode == 0
