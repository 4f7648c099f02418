"""An estimate from the clip to ``depth.json``, by the command line."""

import json
import os
import subprocess

import cv2
import numpy as np
import pytest

from inference.contract import camera, depth_sequence, job
from inference.media import exr
from tests.footage_maker import movie, stills


def test_every_frame_has_its_maps_and_the_sidecar_tells_of_them(worker, clip, tmp_path):
    output = tmp_path / "not" / "there" / "yet"
    done = worker.estimate(clip, output)
    assert done.returncode == 0, done.stderr
    assert f"Depth of 12 frames is in {output}" in done.stdout
    sequence = depth_sequence.load(output)
    assert (sequence.first_frame, sequence.last_frame) == (1001, 1012)
    assert (sequence.width, sequence.height) == (64, 48)
    assert sequence.estimator == "running_mean"
    assert sequence.confidence == "the brightness itself"
    assert sequence.parameters == {"pause": 0.0, "trouble": "none", "refused": 0, "fine": True, "mode": "a"}
    assert sequence.source.path == str(clip)
    assert (sequence.source.width, sequence.source.height, sequence.source.colorspace) == (64, 48, "sRGB")
    assert {"numpy", "opencv-python-headless", "python", "fathom"} <= set(sequence.versions)
    names = {path.name for path in output.iterdir()}
    expected = {f"{kind}.{n}.exr" for kind in ("disparity", "confidence") for n in range(1001, 1013)}
    assert names == expected | {"depth.json"}, "the scratch folder is gone and nothing else was left"
    values = np.stack([exr.read_map(output / depth_sequence.disparity_name(n)) for n in range(1001, 1013)])
    value_range = sequence.shots[0].range
    assert (value_range.minimum, value_range.maximum) == (values.min(), values.max())
    assert value_range.p1 == pytest.approx(np.percentile(values, 1), rel=1e-3)
    assert value_range.p99 == pytest.approx(np.percentile(values, 99), rel=1e-3)


def test_a_range_of_the_clip_alone_is_estimated(worker, clip, tmp_path):
    assert worker.estimate(clip, tmp_path, "--frames", "1003-1005").returncode == 0
    assert sorted(path.name for path in tmp_path.glob("disparity.*")) == [
        f"disparity.{n}.exr" for n in (1003, 1004, 1005)
    ]


def test_shots_are_estimated_on_their_own_and_refused_ones_are_told(worker, cut_clip, tmp_path, helpers):
    done = worker.estimate(cut_clip, tmp_path, "--parameter", "refused=16", "--events")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path)
    assert [(s.first_frame, s.last_frame, s.status) for s in sequence.shots] == [(1, 15, "done"), (16, 30, "refused")]
    assert sequence.shots[1].reason == "It shows nothing of use. Use another estimator."
    assert sequence.shots[1].range is None
    assert not (tmp_path / "disparity.0016.exr").exists()
    warnings = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    assert "Frames 16-30 were skipped: It shows nothing of use. Use another estimator." in warnings
    # the second shot knows nothing of the first
    alone = tmp_path / "alone"
    assert worker.estimate(cut_clip, alone, "--frames", "1-15").returncode == 0
    assert (alone / "disparity.0015.exr").read_bytes() == (tmp_path / "disparity.0015.exr").read_bytes()


@pytest.mark.parametrize(
    ("cuts", "expected"), [("auto", [1, 16]), ("none", [1]), ("4,16,30", [1, 4, 16, 30]), ("9", [1, 9])]
)
def test_cuts_are_found_given_or_none(worker, cut_clip, tmp_path, cuts, expected):
    done = worker.estimate(cut_clip, tmp_path, "--cuts", cuts)
    assert done.returncode == 0, done.stderr
    shots = depth_sequence.load(tmp_path).shots
    assert [
        shot.first_frame for shot in shots if shot.status == "done" or shot.reason.startswith("The shot has 1")
    ] == expected
    again = worker.estimate(cut_clip, tmp_path, "--cuts", "10,11")
    assert again.returncode == 5 and "another job" in again.stderr


def test_the_lens_in_a_movies_metadata_reaches_the_estimator(worker, tmp_path):
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
    path = movie(
        tmp_path / "a.mov", range(4), metadata={key: "54"}, container_options={"movflags": "use_metadata_tags"}
    )
    assert worker.estimate(path, tmp_path / "a").returncode == 0
    sequence = depth_sequence.load(tmp_path / "a")
    assert sequence.shots[0].camera.focal_length == pytest.approx(1.5 * sequence.width)


def test_the_part_of_a_take_that_is_supported_is_a_shot_by_itself(worker, clip, tmp_path, helpers):
    done = worker.estimate(clip, tmp_path / "a", "--parameter", "trouble=partly", "--events")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path / "a")
    found = [(shot.first_frame, shot.last_frame, shot.status) for shot in sequence.shots]
    assert found == [(1001, 1004, "refused"), (1005, 1011, "done"), (1012, 1012, "refused")]
    assert "A part of it shows nothing of use. " in sequence.shots[0].reason
    assert [pose.frame for pose in sequence.shots[1].camera.poses] == list(range(1005, 1012))
    events = helpers.events_of(done.stdout)
    told = [event["message"] for event in events if event["event"] == "warning"]
    assert any("1001-1004 were skipped: A part of it" in message for message in told)
    assert any("1012 was skipped: A part of it" in message for message in told)
    assert [event["number"] for event in events if event["event"] == "frame"][-7:] == list(range(1005, 1012))
    shares = [event["done"] / event["total"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares) and shares[-1] == 1


@pytest.mark.slow
def test_a_take_in_parts_is_resumed_to_the_same_bits(worker, clip, tmp_path, helpers):
    arguments = ("--parameter", "trouble=partly", "--parameter", "pause=0.1")
    process = worker.start(
        "estimate", clip, "--output", tmp_path / "b", "--estimator", "running_mean", "--events", *arguments
    )
    for line in process.stdout:
        if '"number": 1007' in line:
            process.kill()
            break
    process.communicate()
    state = json.loads((tmp_path / "b" / ".fathom" / "state.json").read_text())
    assert state["shots"] == [], "parts are kept together, or none"
    assert worker.estimate(clip, tmp_path / "b", *arguments).returncode == 0
    assert worker.estimate(clip, tmp_path / "a", *arguments).returncode == 0
    assert helpers.contents(tmp_path / "a") == helpers.contents(tmp_path / "b")


@pytest.mark.parametrize("cuts", ["31", "1,16", "16,16", "20,10", "1-5", "often", ""])
def test_cuts_that_are_none_are_refused_in_one_sentence_before_any_work(worker, cut_clip, tmp_path, cuts):
    done = worker.estimate(cut_clip, tmp_path / "out", f"--cuts={cuts}")
    assert done.returncode == 2
    assert "--cuts" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_stretches_without_a_image_have_no_depth_and_say_why(worker, tmp_path, helpers):
    (tmp_path / "clip").mkdir()
    clip = helpers.write_clip(tmp_path / "clip", range(1, 25))
    for number in (*range(1, 7), *range(19, 25)):
        black = clip / f"plate.{number:04d}.png"
        assert black.exists()
        cv2.imwrite(str(black), np.zeros((48, 64, 3), np.uint8))
    done = worker.estimate(clip, tmp_path / "out", "--events")
    assert done.returncode == 0, done.stderr
    shots = depth_sequence.load(tmp_path / "out").shots
    assert [(s.first_frame, s.last_frame, s.status) for s in shots] == [
        (1, 6, "refused"), (7, 18, "done"), (19, 24, "refused")
    ]  # fmt: skip
    assert shots[0].reason.startswith("The shot is black throughout")
    events = helpers.events_of(done.stdout)
    assert any("Frames 19-24 were skipped: The shot is black" in event.get("message", "") for event in events)
    assert events[-1]["frames"] == 12


@pytest.mark.parametrize(("dark", "said"), [(0.75, "75% of the depth has hardly any confidence"), (0.25, None)])
@pytest.mark.parametrize("size", [(), ("--full-size",)], ids=["working size", "full size"])
def test_depth_without_confidence_is_warned_of(worker, tmp_path, helpers, dark, said, size):
    images = []
    for index in range(6):
        image = np.full((48, 64, 3), 150 + 10 * index, np.uint8)
        image[:, 20:40] = 230
        image[: round(48 * dark)] = 5
        images.append(image)
    stills(tmp_path / "plate", range(1, 7), images=images)
    done = worker.estimate(tmp_path / "plate", tmp_path / "out", "--events", *size)
    assert done.returncode == 0, done.stderr
    warnings = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    assert [w for w in warnings if "confidence" in w] == [w for w in warnings if said and w.startswith(said)]
    assert bool(said) == any("confidence" in w for w in warnings)


def test_a_clip_of_which_every_shot_is_refused_leaves_no_result(worker, cut_clip, tmp_path, helpers):
    done = worker.estimate(cut_clip, tmp_path, "--parameter", "refused=-1", "--events")
    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []
    last = helpers.events_of(done.stdout)[-1]
    assert last["event"] == "error" and last["code"] == 3
    assert "All 2 shots" in last["what"]
    assert [(shot["first_frame"], shot["last_frame"]) for shot in last["shots"]] == [(1, 15), (16, 30)]
    assert all("Use another estimator." in shot["reason"] for shot in last["shots"])


def test_a_shot_that_is_too_short_is_refused(worker, clip, tmp_path):
    done = worker.estimate(clip, tmp_path, "--frames", "1001")
    assert done.returncode == 3
    assert "1 frame" in done.stderr and "at least 2" in done.stderr


def test_the_camera_comes_out_at_the_plates_size_and_the_prior_goes_in_at_the_working_size(worker, tmp_path, helpers):
    plate = helpers.write_clip(tmp_path, range(1, 4), size=(128, 96))
    output = tmp_path / "out"
    assert worker.estimate(plate, output, "--focal-length", "100px").returncode == 0
    found = depth_sequence.load(output).shots[0].camera
    assert (found.width, found.height) == (128, 96)
    assert found.focal_length == pytest.approx(100)
    assert found.principal_point == pytest.approx((63.5, 47.5))
    assert [pose.frame for pose in found.poses] == [1, 2, 3]


@pytest.mark.parametrize(
    "named", [("18",), ("18mm",), ("18", "--sensor-width", "36"), ("12mm", "--sensor-width", "24"), ("32px",)]
)
def test_a_known_focal_length(worker, clip, tmp_path, named):
    assert worker.estimate(clip, tmp_path, "--focal-length", *named).returncode == 0
    assert depth_sequence.load(tmp_path).shots[0].camera.focal_length == pytest.approx(32)


def test_full_size_maps_are_as_large_as_the_plate(worker, tmp_path, helpers):
    plate = helpers.write_clip(tmp_path, range(1, 4), size=(150, 90))
    output = tmp_path / "out"
    done = worker.estimate(plate, output, "--full-size", "--events")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(output)
    assert (sequence.width, sequence.height) == (150, 90)
    maps = np.stack([exr.read_map(output / depth_sequence.disparity_name(n)) for n in (1, 2, 3)])
    assert maps.shape == (3, 90, 150)
    assert (sequence.shots[0].range.minimum, sequence.shots[0].range.maximum) == (maps.min(), maps.max())
    assert exr.read_map(output / depth_sequence.confidence_name(1)).shape == (90, 150)
    numbers = [event["number"] for event in helpers.events_of(done.stdout) if event["event"] == "frame"]
    assert numbers == [1, 2, 3], "only final maps are told"


def test_a_job_file_says_it_all(worker, clip, tmp_path):
    names = tuple(sorted(path.name for path in clip.iterdir()))
    wanted = job.Job(
        source=job.Source(kind="sequence", path=str(clip), files=names),
        output=str(tmp_path / "out"),
        first_frame=1002,
        last_frame=1005,
        estimator="running_mean",
        seed=3,
        camera=camera.Camera(width=64, height=48, focal_length=50.0, principal_point=(31.5, 23.5)),
    )
    job.save(wanted, tmp_path / "job.json")
    done = worker("estimate", "--job", tmp_path / "job.json")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path / "out")
    assert sequence.fingerprint == wanted.fingerprint()
    assert sequence.seed == 3
    assert sequence.shots[0].camera.focal_length == pytest.approx(50)


def _job_with_poses(clip, output, frames):
    identity = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))
    poses = tuple(camera.Pose(frame=n, camera_to_world=identity) for n in frames)
    prior = camera.Camera(
        width=64, height=48, focal_length=50.0, principal_point=(31.5, 23.5), poses=poses, origin="SOLVE street.mov"
    )
    names = tuple(sorted(path.name for path in clip.iterdir()))
    source = job.Source(kind="sequence", path=str(clip), files=names)
    return job.Job(source=source, output=str(output), estimator="running_mean", camera=prior)


def test_frames_without_a_pose_are_skipped_and_named(worker, clip, tmp_path, helpers):
    wanted = _job_with_poses(clip, tmp_path / "out", [*range(1001, 1006), *range(1008, 1013)])
    job.save(wanted, tmp_path / "job.json")
    done = worker("estimate", "--job", tmp_path / "job.json", "--events")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path / "out")
    shots = [(shot.first_frame, shot.last_frame, shot.status) for shot in sequence.shots]
    assert shots == [(1001, 1005, "done"), (1006, 1007, "refused"), (1008, 1012, "done")]
    assert sequence.shots[1].reason.startswith("The camera has no pose for frames 1006-1007. Solve the camera there")
    assert sequence.camera == "SOLVE street.mov" and sequence.focal_length is None
    warned = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    assert any(text.startswith("Frames 1006-1007 were skipped: The camera has no pose") for text in warned), warned
    assert not (tmp_path / "out" / "disparity.1006.exr").exists()


def test_a_camera_file_goes_into_the_job(worker, clip, tmp_path):
    rows = [f"{number} {0.1 * number} 0 0 0 0 0 40" for number in range(1001, 1013)]
    (tmp_path / "camera.chan").write_text("\n".join(rows))
    done = worker.estimate(clip, tmp_path / "out", "--camera", tmp_path / "camera.chan", "--rotation-order", "XYZ")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path / "out")
    assert sequence.camera == "FILE camera.chan" and [shot.status for shot in sequence.shots] == ["done"]
    (tmp_path / "camera.chan").write_text("1001 0 0\n")
    done = worker.estimate(clip, tmp_path / "other", "--camera", tmp_path / "camera.chan")
    assert done.returncode == 2 and "Line 1 of camera.chan has 3 values" in done.stderr
    assert not (tmp_path / "other").exists()


def test_progress_grows_to_the_end_and_frames_are_told_once(worker, clip, tmp_path, helpers):
    events = helpers.events_of(worker.estimate(clip, tmp_path, "--events").stdout)
    progress = [event for event in events if event["event"] == "progress"]
    done = [event["done"] for event in progress]
    assert done == sorted(done)
    assert progress[-1]["done"] == pytest.approx(progress[-1]["total"])
    assert progress[-1]["frames"] == progress[-1]["frames_total"] == 12
    frames = [event["number"] for event in events if event["event"] == "frame"]
    assert frames == list(range(1001, 1013))
    ended = {"event": "done", "folder": str(tmp_path), "frames": 12}
    assert events[-1] == {**ended, "seconds": events[-1]["seconds"], "peak_bytes": events[-1]["peak_bytes"]}
    assert events[-1]["peak_bytes"] > 10e6
    assert json.dumps(events).count('"error"') == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(worker, tmp_path, helpers):
    if not hasattr(os, "wait4"):
        pytest.skip("this system does not tell a process's peak memory")
    size = (320, 240)  # a frame with its maps: 0.8 MB
    (tmp_path / "clip").mkdir()
    clip = helpers.write_clip(tmp_path / "clip", range(1, 201), size=size)

    def peak(frames: str) -> float:
        process = worker.start(
            "estimate", clip, "--output", tmp_path / frames, "--estimator", "running_mean", "--size", size[0],
            "--frames", frames, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss / 1024

    assert peak("1-200") - peak("1-20") < 40, "MB; the frames and maps of 180 frames more are 150 MB"
