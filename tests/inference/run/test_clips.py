"""Clips of every kind through the whole worker: what can be read becomes maps, the rest is refused in a sentence."""

import hashlib
import json
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import OpenEXR
import pytest

from inference.contract import depth_sequence, exit_codes, job
from inference.media import color, exr
from inference.media.source import describe
from tests.footage_maker import movie, numbered, stills, streams, woven
from tests.inference.support.estimators.brightness import MODEL
from tests.inference.support.stored import put_in_place

CONTENT = b"the weights of Brightness"


@pytest.fixture
def weights(worker, monkeypatch):
    """The file that the estimator Brightness needs, as a download leaves it."""
    monkeypatch.setenv("FATHOM_HOME", worker.environment["FATHOM_HOME"])
    path = put_in_place(MODEL, {"unet.safetensors": CONTENT}) / "unet.safetensors"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def bright(worker, weights):
    """Run Brightness on a clip; gives the sequence and its maps."""

    def run(clip, output, *arguments):
        done = worker("estimate", clip, "--output", output, "--estimator", "brightness", *arguments)
        assert done.returncode == 0, done.stderr
        sequence = depth_sequence.load(output)
        numbers = range(sequence.first_frame, sequence.last_frame + 1)
        return sequence, np.stack([exr.read_map(output / depth_sequence.disparity_name(n)) for n in numbers])

    return run


# What cannot be read


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def missing_frame(folder):
    stills(folder / "plate", range(1001, 1006))[2].unlink()
    return folder / "plate"


def other_size(folder):
    images = [numbered(0), numbered(1), numbered(2, (80, 48)), numbered(3)]
    return stills(folder / "plate", range(1001, 1005), images=images)[0]


def broken_frame(folder):
    files = stills(folder / "plate", range(1001, 1005))
    cut(files[2], 0.6)
    return files[0]


def empty_frame(folder):
    files = stills(folder / "plate", range(1001, 1005))
    files[2].write_bytes(b"")
    return files[0]


def truncated_movie(folder):
    return cut(movie(folder / "clip.mp4", range(60), container_options={"movflags": "faststart"}), 0.6)


def movie_without_its_end(folder):
    return cut(movie(folder / "clip.mp4", range(20)), 0.5)


def file_of(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def animation(folder):
    (folder / "plate").mkdir()
    path = folder / "plate" / "plate.0001.webp"
    frames = cv2.Animation()
    frames.frames = [numbered(n) for n in range(3)]
    frames.durations = np.full(3, 40, np.int32)
    cv2.imwriteanimation(str(path), frames)
    return path


def too_fast(folder):
    """Of a rate that no depth.json holds."""
    return movie(folder / "clip.mp4", range(9), rate=10_000_000, time_base=Fraction(1, 10_000_000))


def too_wide(folder):
    """As a panorama; wider than any depth.json says."""
    (folder / "plate").mkdir()
    cv2.imwrite(str(folder / "plate" / "plate.0001.png"), np.resize(numbered(3), (4, 70_000, 3)))
    return folder / "plate"


def empty_folder(folder):
    (folder / "plate").mkdir()
    return folder / "plate"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing_frame, ["Frame 1003 is missing", "plate.1004.png", "render or copy"]),
        (other_size, ["Frame 1003", "plate.1003.png", "80 x 48", "64 x 48", "one size"]),
        (broken_frame, ["plate.1003.png", "cut short", "again"]),
        (empty_frame, ["plate.1003.png", "empty (0 bytes)", "again"]),
        (truncated_movie, ["clip.mp4", "rame ", "again"]),
        (movie_without_its_end, ["clip.mp4", "cut short", "again"]),
        (file_of("clip.mp4", b""), ["clip.mp4", "empty (0 bytes)", "again"]),
        (file_of("clip.mp4", b"a letter to the producer " * 99), ["clip.mp4", "no movie", "choose a movie"]),
        (file_of("notes.txt", b"a letter to the producer"), ["notes.txt", "no movie", "choose a movie"]),
        (animation, ["plate.0001.webp", "animation of 3 images", "convert it to a movie"]),
        (lambda folder: movie(folder / "raw.h264", range(9), container_format="h264"), ["raw.h264", "convert", "MP4"]),
        (too_fast, ["clip.mp4 cannot be estimated: its fps must be at most 1000000, not 10000000", "convert it"]),
        (too_wide, ["plate.0001.png cannot be estimated: its width must be at most 65536, not 70000", "convert it"]),
        (empty_folder, ["plate", "contains no images", "choose a folder"]),
        (lambda folder: folder / "lost.mov", ["lost.mov", "choose a movie"]),
        (lambda folder: folder / "lost.1001.exr", ["lost.1001.exr", "choose a movie"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_clip_that_cannot_be_read_is_refused_in_one_sentence(worker, tmp_path, make, words, helpers):
    clip, output = make(tmp_path), tmp_path / "out"
    done = worker.estimate(clip, output, "--events")
    assert done.returncode == exit_codes.BAD_CLIP, done.stderr
    assert "Traceback" not in done.stderr
    last = helpers.events_of(done.stdout)[-1]
    assert (last["event"], last["code"], last["why"], last["hint"]) == ("error", exit_codes.BAD_CLIP, "", "")
    for word in words:
        assert word in last["what"]
    assert "\n" not in last["what"] and last["what"].endswith(".")
    assert not (output / "depth.json").exists() and not list(output.glob("*.exr"))


@pytest.mark.parametrize("lost", [0, 2, 4])
def test_a_frame_that_went_missing_after_the_job_was_written_is_named(worker, tmp_path, lost):
    """Blender lists a sequence's files in the job; they may be gone when the worker looks."""
    files = stills(tmp_path / "plate", range(1001, 1006))
    wanted = job.Job(source=describe(files[0]), output=str(tmp_path / "out"), estimator="running_mean")
    job.save(wanted, tmp_path / "job.json")
    job.save(replace(wanted, first_frame=1002, last_frame=1004), tmp_path / "part.json")
    files[lost].unlink()
    done = worker("estimate", "--job", tmp_path / "job.json")
    assert done.returncode == exit_codes.BAD_CLIP
    assert f"Frame {1001 + lost} is missing: there is no file {files[lost]}" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out" / "depth.json").exists()
    if lost != 2:  # what is not asked for need not be there
        assert worker("estimate", "--job", tmp_path / "part.json").returncode == 0


# What can


def seen(image):
    """Brightness 0..1 of an image [H, W, 3] of 0..255."""
    return image.astype(np.float64).mean(axis=2) / 255


def test_ten_bits_portrait_and_odd(bright, tmp_path):
    clip = movie(
        tmp_path / "deep.mkv", range(3), size=(51, 77), codec="ffv1", pixel_format="yuv444p10le", full_range=True
    )
    sequence, maps = bright(clip, tmp_path / "out")
    assert (sequence.source.width, sequence.source.height) == (51, 77)
    assert (sequence.width, sequence.height) == (48, 80)
    assert (sequence.first_frame, sequence.last_frame, sequence.source.fps) == (1, 3, 25.0)
    for index, values in enumerate(maps):
        wanted = cv2.resize(seen(numbered(index, (51, 77))), (48, 80), interpolation=cv2.INTER_LINEAR)
        assert np.abs(values - wanted).mean() < 0.01


def test_a_movie_that_is_turned_comes_out_upright(bright, tmp_path):
    sequence, maps = bright(movie(tmp_path / "phone.mp4", range(2), rotation=90), tmp_path / "out")
    assert (sequence.width, sequence.height) == (48, 64)
    assert np.abs(maps[1] - seen(np.rot90(numbered(1), -1))).mean() < 0.03


@pytest.mark.parametrize("kind", ["movie", "sequence"])
def test_one_frame_is_a_clip(bright, tmp_path, kind):
    clip = movie(tmp_path / "one.mp4", range(1)) if kind == "movie" else stills(tmp_path / "plate", [1001])[0]
    sequence, maps = bright(clip, tmp_path / "out")
    number = 1 if kind == "movie" else 1001
    assert (sequence.first_frame, sequence.last_frame) == (number, number)
    assert [(s.first_frame, s.last_frame, s.status) for s in sequence.shots] == [(number, number, "done")]
    assert np.abs(maps[0] - seen(numbered(0))).mean() < 0.03


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_alpha_is_ignored(bright, tmp_path, depth):
    image = numbered(3).astype(depth) * (np.iinfo(depth).max // 255)
    alpha = np.zeros((48, 64, 1), depth)
    alpha[10:20] = np.iinfo(depth).max // 2
    (tmp_path / "plate").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / "plate" / f"p.{number}.png"), np.dstack([image[..., ::-1], alpha]))
    _, maps = bright(tmp_path / "plate", tmp_path / "out")
    np.testing.assert_allclose(maps[0], seen(numbered(3)), atol=1 / 255)


def test_values_beyond_display_are_clamped_and_no_numbers_do_no_harm(bright, tmp_path):
    plane = np.linspace(-2, 5, 64 * 48, dtype=np.float32).reshape(48, 64)
    plane[0, :3] = np.nan, np.inf, -np.inf
    (tmp_path / "plate").mkdir()
    for number in (1, 2):
        with OpenEXR.File({}, dict.fromkeys("RGB", plane)) as file:
            file.write(str(tmp_path / "plate" / f"p.{number}.exr"))
    _, maps = bright(tmp_path / "plate", tmp_path / "out")
    finite = np.nan_to_num(plane, nan=0.0, posinf=9.0, neginf=-9.0)
    np.testing.assert_allclose(maps[0], color.encode_srgb(np.clip(finite, 0, 1)), atol=1 / 255)


@pytest.mark.parametrize(
    ("plate", "size", "maps"), [((128, 96), 64, (64, 48)), ((96, 128), 64, (48, 64)), ((64, 48), 500, (64, 48))]
)
def test_the_working_size_is_the_long_side(bright, tmp_path, helpers, plate, size, maps):
    (tmp_path / "plate").mkdir()
    helpers.write_clip(tmp_path / "plate", range(1001, 1003), size=plate)
    sequence, values = bright(tmp_path / "plate", tmp_path / "out", "--size", size)
    assert (sequence.width, sequence.height) == maps == values.shape[:0:-1]
    assert (sequence.source.width, sequence.source.height) == plate


@pytest.mark.slow
def test_full_size_where_the_working_size_was_rounded_beyond_the_plates(bright, tmp_path):
    image = numbered(5, (61, 43))
    stills(tmp_path / "plate", [7, 8], images=[image, image])
    sequence, maps = bright(tmp_path / "plate", tmp_path / "out", "--full-size")
    assert (sequence.width, sequence.height) == (61, 43)
    assert maps.shape == (2, 43, 61)
    assert np.median(np.abs(maps[0] - seen(image))) < 0.05


# What is told of a clip on the way


def warnings_of(done, helpers):
    assert done.returncode == 0, done.stdout + done.stderr
    told = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    return [message for message in told if message != "It is only a test."]  # the estimator's own


def test_what_a_header_says_and_is_not_heeded_is_told_once(worker, tmp_path, helpers):
    clip = movie(tmp_path / "clip.mp4", range(6), colors=(12, 16))
    (told,) = warnings_of(worker.estimate(clip, tmp_path / "out", "--events"), helpers)
    assert told.startswith(f"{clip} says that it has the transfer function PQ (HDR) and the primaries Display P3")
    done = worker.estimate(clip, tmp_path / "again")
    assert "if that looks wrong, set --colorspace to Rec.2100-PQ." in done.stderr
    option = ("--colorspace", "Rec.2100-PQ", "--events")
    assert warnings_of(worker.estimate(clip, tmp_path / "option", *option), helpers) == []


def test_hdr_is_converted_without_a_configuration(bright, tmp_path):
    clip = movie(tmp_path / "clip.mkv", range(2), codec="ffv1", pixel_format="yuv444p", colors=(9, 16), matrix=9)
    sequence, maps = bright(clip, tmp_path / "out")
    assert sequence.source.colorspace == "Rec.2100-PQ"
    bars = (maps[0][:20] > 0.5).mean(axis=0)  # black and white are 20 and 235 of 255: 0.2 and 6400 cd/m²
    assert set(np.unique(bars)) <= {0.0, 1.0}
    assert np.median(maps[0][:20]) < 0.03


def test_a_configuration_that_ocio_has_built_in_is_no_file(worker, clip, tmp_path):
    options = ("--ocio-config", "ocio://cg-config-latest", "--colorspace", "ACEScg")
    assert worker.estimate(clip, tmp_path / "out", *options).returncode == 0
    assert depth_sequence.load(tmp_path / "out").source.ocio_config == "ocio://cg-config-latest"


def test_woven_images_are_told_once_they_were_seen(worker, tmp_path, helpers):
    moving = [np.roll(cv2.resize(numbered(5), (256, 192)), 6 * step, axis=1) for step in range(24)]
    clip = movie(tmp_path / "woven.mp4", range(12), size=(256, 192), images=woven(moving))
    (told,) = warnings_of(worker.estimate(clip, tmp_path / "out", "--events"), helpers)
    assert told.startswith(f"{clip} is interlaced although it does not say so")


def test_a_stream_is_estimated_and_is_a_job_of_its_own(bright, worker, tmp_path):
    clip = streams(tmp_path / "clip.mov", [[numbered(n) for n in range(4)], [numbered(100 + n) for n in range(4)]])
    sequences = []
    for index in (0, 1):
        sequence, maps = bright(clip, tmp_path / f"out{index}", "--stream", index)
        assert sequence.source.stream == index
        assert [int(np.abs(maps[n] - seen(numbered(100 * index + n))).mean() < 0.03) for n in range(4)] == [1] * 4
        sequences.append(sequence)
    assert sequences[0].fingerprint != sequences[1].fingerprint
    done = worker.estimate(clip, tmp_path / "none", "--stream", "2")
    assert done.returncode == exit_codes.BAD_CLIP
    assert "has 2 video streams and none with the index 2; set --stream to 0 or 1." in done.stderr
    assert worker.estimate(clip, tmp_path / "none", "--stream", "-1").returncode == exit_codes.USAGE
    assert not (tmp_path / "none").exists()


# The door for estimators with weights


def test_relative_disparity_without_camera_and_confidence_is_a_whole_result(bright, cut_clip, tmp_path):
    sequence, maps = bright(cut_clip, tmp_path / "out", "--frames", "10-20", "--seed", "4")
    facts = json.loads((tmp_path / "out" / "depth.json").read_text())
    assert facts["quantity"] == "relative_disparity" and facts["confidence"] is None
    assert facts["weights"] == [
        {
            "repository": "nobody/brightness",
            "revision": MODEL.revision,
            "file": "unet.safetensors",
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "licence": "Brightness license",
        }
    ]
    assert [(s["first_frame"], s["last_frame"], s["camera"]) for s in facts["shots"]] == [
        (10, 15, None),
        (16, 20, None),
    ]
    for shot, values in zip(sequence.shots, (maps[:6], maps[6:])):
        assert (shot.range.minimum, shot.range.maximum) == (values.min(), values.max())
        assert shot.range.p1 == pytest.approx(np.percentile(values, 1), rel=2e-3)
        assert shot.range.p99 == pytest.approx(np.percentile(values, 99), rel=2e-3)
    assert not list((tmp_path / "out").glob("confidence.*"))


def test_weights_that_are_missing_are_named_with_the_command_that_gets_them(worker, weights, clip, tmp_path):
    weights.unlink()
    done = worker("estimate", clip, "--output", tmp_path / "out", "--estimator", "brightness")
    assert done.returncode == exit_codes.MISSING
    assert "Weights are missing" in done.stderr and "Brightness's network (3 MB, " in done.stderr
    assert "models download brightness" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_depth_json_says(worker, clip, tmp_path):
    """The layout that other programs read: every field under its name."""
    assert worker.estimate(clip, tmp_path / "out", "--seed", "7", "--frames", "1002-1005").returncode == 0
    facts = json.loads((tmp_path / "out" / "depth.json").read_text())
    assert set(facts) == {
        "schema_version", "source", "first_frame", "last_frame", "width", "height", "quantity", "unit", "confidence",
        "shots", "estimator", "parameters", "seed", "weights", "versions", "seconds", "fingerprint",
        "size", "processing_size", "full_size", "cuts", "focal_length", "camera", "refinement",
        "plate_files", "other_files",
    }  # fmt: skip
    settings = (facts["size"], facts["full_size"], facts["cuts"], facts["focal_length"])
    assert settings == (None, False, "auto", None)
    assert facts["processing_size"] == [facts["width"], facts["height"]]
    assert facts["refinement"] == {}
    files = [path for path in clip.iterdir() if "1002" <= path.name.split(".")[-2] <= "1005"]
    assert facts["plate_files"] == {
        "size": sum(path.stat().st_size for path in files),
        "written": max(path.stat().st_mtime_ns for path in files),
        "order": sum(place * path.stat().st_size for place, path in enumerate(sorted(files), 1)),
        "averages": [path.stat().st_mtime_ns for path in sorted(files)],
    }
    assert facts["other_files"] is None
    assert facts["schema_version"] == 3 and facts["seed"] == 7 and facts["seconds"] > 0
    assert (facts["first_frame"], facts["last_frame"]) == (1002, 1005)
    assert set(facts["source"]) == {
        "kind", "path", "files", "stream", "width", "height", "rotation", "fps", "frame_count",
        "colorspace", "ocio_config",
    }  # fmt: skip
    assert (facts["source"]["fps"], facts["source"]["colorspace"]) == (24.0, "sRGB")
    assert not facts["source"]["path"].startswith("/"), "relative to the folder"
    (shot,) = facts["shots"]
    assert set(shot) == {
        "first_frame", "last_frame", "status", "reason", "range", "camera", "quantity", "estimators",
    }  # fmt: skip
    assert (shot["reason"], shot["quantity"], shot["estimators"]) == (None, None, [facts["estimator"]])
    assert set(shot["range"]) == {"minimum", "maximum", "p1", "p99"}
    assert set(shot["camera"]) == {
        "width", "height", "focal_length", "principal_point", "distortion", "distortion_model", "pixel_aspect", "poses",
        "origin",
    }  # fmt: skip
    assert set(shot["camera"]["poses"][0]) == {"frame", "camera_to_world", "focal_length", "principal_point"}
    assert len(shot["camera"]["principal_point"]) == len(shot["camera"]["distortion"]) == 2
    assert [pose["frame"] for pose in shot["camera"]["poses"]] == [1002, 1003, 1004, 1005]
    assert np.shape(shot["camera"]["poses"][0]["camera_to_world"]) == (4, 4)
    assert all(isinstance(version, str) for version in facts["versions"].values())
