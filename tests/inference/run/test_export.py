"""Exports, written and read back by the libraries of other programs."""

import contextlib
import errno
import json
import os
import threading
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import OpenEXR
import PyOpenColorIO
import pytest

from inference.common.failures import Cancelled, ClipError, Failure
from inference.contract import camera_files, depth_sequence, events, exit_codes
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, Range, Shot, confidence_name, disparity_name
from inference.contract.export import Export, Placement
from inference.contract.job import JobError, Source
from inference.depth_maps import point_cloud
from inference.media import exr
from inference.media.exr import write_channels, write_map
from inference.run import export as exporting
from tests.marks import rest_slow

MAP, PLATE = (16, 12), (32, 24)
FRAMES = range(1001, 1005)


def disparity(number):
    """A wall at 2 on the left, one at 4 on the right that comes nearer, the sky in the first row."""
    values = np.full(MAP[::-1], 0.5, np.float32)
    values[:, 8:] = 0.25 + 0.01 * (number - FRAMES[0])
    values[0] = 0
    return values


def colors(number, size=PLATE):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, : size[0] // 2] = (200, 40, number - FRAMES[0])
    image[:, size[0] // 2 :] = (20, 180, 90)
    return image


def filmed(frames, size=PLATE):
    """A camera that steps right."""
    poses = tuple(
        Pose(
            frame=number,
            camera_to_world=((1, 0, 0, 0.1 * i), (0, 1, 0, 0.0), (0, 0, 1, 0.0), (0, 0, 0, 1)),
        )
        for i, number in enumerate(frames)
    )
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    return Camera(width=size[0], height=size[1], focal_length=30.0, principal_point=middle, poses=poses)


def make(folder, *, shots=((1001, 1004, "done"),), quantity="inverse_depth", camera=True, confidence=True, fps=24.0):
    """A depth sequence with a plate of PNG files beside it."""
    depth, plate = folder / "depth", folder / "plate"
    depth.mkdir(parents=True)
    plate.mkdir()
    names = tuple(f"street.{number}.png" for number in FRAMES)
    for number, name in zip(FRAMES, names):
        cv2.imwrite(str(plate / name), colors(number)[..., ::-1])
        write_map(depth / disparity_name(number), disparity(number))
        if confidence:
            write_map(depth / confidence_name(number), np.linspace(0, 1, MAP[0] * MAP[1]).reshape(MAP[::-1]))
    spread = Range(minimum=0.0, maximum=0.5, p1=0.25, p99=0.5)
    sequence = DepthSequence(
        source=Source(kind="sequence", path=str(plate), files=names, width=PLATE[0], height=PLATE[1], fps=fps),
        first_frame=FRAMES[0],
        last_frame=FRAMES[-1],
        width=MAP[0],
        height=MAP[1],
        quantity=quantity,
        shots=tuple(
            Shot(
                first_frame=first,
                last_frame=last,
                status=status,
                range=spread if status == "done" else None,
                reason=None if status == "done" else "It shows nothing.",
                camera=filmed(range(first, last + 1)) if camera and status == "done" else None,
            )
            for first, last, status in shots
        ),
        estimator="made",
        fingerprint="made",
        confidence="made up" if confidence else None,
    )
    depth_sequence.save(sequence, depth)
    return depth


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    return make(tmp_path_factory.mktemp("street"))


def run(depth, output, kind, *, overwrite=False, check=lambda: None, **settings):
    heard = []
    wanted = Export(depth=str(depth), output=str(output), format=kind, **settings)
    outcome = exporting.export(wanted, overwrite=overwrite, emit=heard.append, check=check)
    return outcome, heard


def make_mattes(folder, columns):
    """Mattes that are white in so many columns on the left."""
    folder.mkdir()
    for number in FRAMES:
        image = np.zeros((*PLATE[::-1], 3), np.uint8)
        image[:, :columns] = 255
        cv2.imwrite(str(folder / f"m.{number}.png"), image)
    return folder


def read_exr(path):
    with OpenEXR.File(str(path), separate_channels=True) as file:
        part = file.parts[0]
        return dict(part.header), {name: np.array(channel.pixels) for name, channel in part.channels.items()}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def warnings(heard):
    return [event.message for event in heard if isinstance(event, events.Warning)]


# ------------------------------------------------------------------------------------------------------------ EXR


def test_z_in_scene_units(depth, tmp_path):
    outcome, heard = run(depth, tmp_path, "exr", full_size=False, far_limit=10.0, scale=100.0)
    assert (outcome.frames, outcome.files) == (4, 4)
    assert names(tmp_path) == [*(f"street_depth.{n}.exr" for n in FRAMES), "street_depth.exr.json"]
    header, channels = read_exr(tmp_path / "street_depth.1001.exr")
    z = channels["Z"]
    assert set(channels) == {"Z"} and z.dtype == np.float32 and z.shape == MAP[::-1]
    assert np.all(z[1:, :8] == 200) and np.all(z[1:, 8:] == 400) and np.all(z[0] == 1000)
    assert header["pixelAspectRatio"] == 1 and Fraction(header["framesPerSecond"]) == 24
    assert "in scene units" in header["comments"]
    record = json.loads((tmp_path / "street_depth.exr.json").read_text())
    assert record["finished"] and record["shots"][0]["scale"] == 100 and record["written"] == [[1001, 1004]]
    progress = [event for event in heard if isinstance(event, events.Progress)]
    assert progress[-1].fraction == 1 and progress[-1].frames == progress[-1].frames_total == 4
    assert [event.number for event in heard if isinstance(event, events.Frame)] == list(FRAMES)
    assert "at most" in next(event.label for event in heard if isinstance(event, events.Stage))


@pytest.mark.slow
def test_layers_of_an_exr(depth, tmp_path):
    mattes = make_mattes(tmp_path / "mattes", 8)
    _, heard = run(
        depth, tmp_path / "out", "exr", channel="depth.Z", half=True, confidence=True, mattes=str(mattes), negative=True
    )
    _, channels = read_exr(tmp_path / "out" / "street_depth.1002.exr")
    assert set(channels) == {"depth.Z", "confidence.A", "matte.A"} and not warnings(heard)
    assert all(values.dtype == np.float16 and values.shape == PLATE[::-1] for values in channels.values())
    assert channels["depth.Z"][12, 2] == -2 and channels["depth.Z"][12, 30] == pytest.approx(-1 / 0.26, rel=1e-3)
    assert np.all(channels["matte.A"][:, :8] == 1) and np.all(channels["matte.A"][:, 8:] == 0)
    # along the edges of the plate, which are in its middle
    step = np.abs(np.diff(channels["depth.Z"][12].astype(float))).argmax()
    assert step == PLATE[0] // 2 - 1


@pytest.mark.parametrize("crop", [True, False])
def test_windows_and_pixels_of_the_plate(tmp_path, crop):
    """An EXR plate with overscan: laid over it, depth has its data window, in its display window."""
    depth = make(tmp_path)
    plate = tmp_path / "exr"
    plate.mkdir()
    for number in FRAMES:
        image = colors(number).astype(np.float32) / 255
        corner = (-4, -2) if crop else (0, 0)
        display = (0, 0, 23, 19) if crop else None
        header = {"pixelAspectRatio": 2.0}
        channels = {name: image[..., i] for i, name in enumerate("RGB")}
        write_channels(plate / f"ana.{number}.exr", channels, header, corner=corner, display=display)
    files = tuple(f"ana.{number}.exr" for number in FRAMES)
    source = Source(kind="sequence", path=str(plate), files=files)
    _, heard = run(depth, tmp_path / "out", "exr", plate=source)
    header, channels = read_exr(tmp_path / "out" / "ana_depth.1003.exr")
    box = [np.concatenate(header[name]).tolist() for name in ("dataWindow", "displayWindow")]
    assert box == ([[-4, -2, 27, 21], [0, 0, 23, 19]] if crop else [[0, 0, 31, 23], [0, 0, 31, 23]])
    assert header["pixelAspectRatio"] == 2 and channels["Z"].shape == PLATE[::-1] and not warnings(heard)


def test_the_plate_is_missing(tmp_path):
    depth = make(tmp_path)
    for path in (tmp_path / "plate").iterdir():
        path.unlink()
    with pytest.raises(ClipError, match=r"edges are needed, .*\[\[plate\]\]"):
        run(depth, tmp_path / "out", "exr")
    assert not (tmp_path / "out").exists()
    _, heard = run(depth, tmp_path / "out", "exr", full_size=False)
    assert any("data window" in text for text in warnings(heard))


def test_relative_depth_wants_near_and_far(tmp_path):
    depth = make(tmp_path, quantity="relative_disparity")
    with pytest.raises(JobError, match=r"\[\[near\]\] and \[\[far\]\]"):
        run(depth, tmp_path / "out", "exr", full_size=False)
    assert not (tmp_path / "out").exists()
    run(depth, tmp_path / "out", "exr", full_size=False, near=3.0, far=9.0, far_limit=50.0)
    _, channels = read_exr(tmp_path / "out" / "street_depth.1001.exr")
    z = channels["Z"]
    assert z[5, 0] == pytest.approx(3) and z[5, 15] == pytest.approx(9) and z[0, 0] == pytest.approx(50)


def test_half_floats_end(depth, tmp_path):
    with pytest.raises(Failure, match="Half floats end at 65504"):
        run(depth, tmp_path / "out", "exr", half=True, scale=1e5)
    assert not (tmp_path / "out").exists()


def test_confidence_that_is_not_there(tmp_path):
    depth = make(tmp_path, confidence=False)
    with pytest.raises(Failure, match="gives no confidence"):
        run(depth, tmp_path / "out", "exr", confidence=True)


# --------------------------------------------------------------------------------------------------- gray and movies


def test_png_in_one_range(depth, tmp_path):
    run(depth, tmp_path, "png", full_size=False)
    first, last = (cv2.imread(str(tmp_path / f"street_depth.{n}.png"), cv2.IMREAD_UNCHANGED) for n in (1001, 1004))
    assert first.dtype == np.uint16 and first.shape == MAP[::-1]
    assert first[5, 0] == last[5, 0] == 65535 and first[5, 15] == first[0, 0] == 0
    assert last[5, 15] == round(65535 * 0.03 / 0.25)


def test_png_with_far_white_and_own_percentiles(depth, tmp_path):
    run(depth, tmp_path, "png", full_size=False, far_white=True, percentiles=(0, 100), first_frame=1004)
    assert names(tmp_path) == ["street_depth.1004.png", "street_depth.png.json"]
    last = cv2.imread(str(tmp_path / "street_depth.1004.png"), cv2.IMREAD_UNCHANGED)
    assert last[0, 0] == 65535 and last[5, 0] == 0
    assert last[5, 15] == pytest.approx(65535 * (1 - 0.03 / 0.25), abs=80)  # the range is the shot's, not the frame's


def grays(path):
    """The decoded luma of a movie's frames, and its rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray()[: frame.height] for frame in container.decode(stream)]
        return frames, stream.average_rate, (stream.codec_context.color_range, stream.codec_context.name)


def test_preview_movie(depth, tmp_path):
    run(depth, tmp_path, "movie")
    frames, rate, (color_range, codec) = grays(tmp_path / "street_depth.mp4")
    assert len(frames) == 4 and rate == 24 and codec == "h264" and color_range == 1
    for frame in frames:
        assert frame.shape == MAP[::-1]
    assert frames[0][6, 3] == pytest.approx(235, abs=2) and frames[0][6, 12] == pytest.approx(16, abs=2)


@pytest.mark.parametrize(
    ("multiple", "size", "expected"), [(8, None, (16, 16)), (64, 200, (192, 128)), (8, 100, (104, 72))]
)
def test_control_video(depth, tmp_path, multiple, size, expected):
    run(depth, tmp_path, "control", multiple=multiple, size=size, every=2, fps=8.0)
    frames, rate, _ = grays(tmp_path / "street_control.mp4")
    assert len(frames) == 2 and rate == 8
    assert frames[0].shape == expected[::-1]
    assert frames[0][-2, 1] > 200 > 50 > frames[0][-2, -2]  # near is white


def test_a_movie_has_black_frames_where_there_is_no_depth(tmp_path):
    depth = make(tmp_path, shots=((1001, 1001, "done"), (1002, 1003, "refused"), (1004, 1004, "done")))
    _, heard = run(depth, tmp_path / "out", "movie")
    frames, _, _ = grays(tmp_path / "out" / "street_depth.mp4")
    assert [int(frame[6, 3]) > 100 for frame in frames] == [True, False, False, True]
    assert warnings(heard) == ["Frames 1002-1003 have no depth and are black."]


def test_a_movie_of_unknown_rate(tmp_path):
    depth = make(tmp_path, fps=None)
    with pytest.raises(Failure, match="frame rate is not known"):
        run(depth, tmp_path / "out", "movie")
    run(depth, tmp_path / "out", "movie", fps=25.0)
    assert grays(tmp_path / "out" / "street_depth.mp4")[1] == 25


# ---------------------------------------------------------------------------------------------------------- points


def read_ply(path):
    """A small reader of its own: the header, and the vertices as a record array."""
    data = path.read_bytes()
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    kinds = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], kinds[line.split()[1]]) for line in lines if line.startswith("property")]
    count = int(next(line.split()[2] for line in lines if line.startswith("element vertex")))
    points = np.frombuffer(body, np.dtype(fields))
    assert len(points) == count
    return lines, points


def test_points_stand_in_the_path_s_world(depth, tmp_path):
    run(depth, tmp_path, "ply", scale=2.0, far_limit=10.0)
    assert f"street_points.{FRAMES[0]}.ply" in names(tmp_path)
    lines, points = read_ply(tmp_path / "street_points.1002.ply")
    assert len(points) == MAP[0] * (MAP[1] - 1)  # without the sky
    # the map's focal length is half the plate's; row 1 is the first that is seen
    x = (0 - 7.5) / 15 * 2 * 2 + 0.1 * 2
    up = -(1 - 5.5) / 15 * 2 * 2
    first = points[0]
    assert [float(first[name]) for name in "xyz"] == pytest.approx([x, 4.0, up], abs=1e-5)
    assert [int(first[name]) for name in ("red", "green", "blue")] == [200, 40, 1]
    assert first["confidence"] == pytest.approx(MAP[0] / (MAP[0] * MAP[1] - 1), abs=1e-6)
    assert any("z up" in line for line in lines)


def test_points_with_y_up_and_less_confidence(depth, tmp_path):
    run(depth, tmp_path, "ply", up="y", minimum_confidence=0.5, far_limit=10.0, last_frame=1001)
    _, points = read_ply(tmp_path / "street_points.1001.ply")
    assert len(points) == MAP[0] * MAP[1] // 2 and points["confidence"].min() >= 0.5
    assert np.all(points["z"] < 0) and points["y"].max() < 0.1  # the lower half of the image


def test_merged_points_are_thinned(depth, tmp_path):
    run(depth, tmp_path, "ply", merged=True, voxel=0.5, far_limit=10.0)
    lines, points = read_ply(tmp_path / "street_points.ply")
    assert names(tmp_path) == ["street_points.ply", "street_points.ply.json"]
    assert any("voxel of 0.5" in line for line in lines)
    assert 20 < len(points) < MAP[0] * MAP[1]
    near = points[points["y"] < 2.01]
    assert np.allclose(near["y"], 2) and np.all(near["red"] == 200) and np.all(near["blue"] <= 3)


def test_mattes_leave_points_out(depth, tmp_path):
    mattes = make_mattes(tmp_path / "mattes", 16)
    run(depth, tmp_path / "out", "ply", mattes=str(mattes), far_limit=10.0, last_frame=1001)
    _, points = read_ply(tmp_path / "out" / "street_points.1001.ply")
    assert len(points) == 8 * (MAP[1] - 1) and np.all(points["y"] > 3)


def test_points_without_a_camera(tmp_path):
    depth = make(tmp_path, camera=False)
    with pytest.raises(Failure, match=r"has no camera.*\[\[focal_length\]\]"):
        run(depth, tmp_path / "out", "ply")
    _, heard = run(depth, tmp_path / "out", "ply", focal_length=36 * 30 / PLATE[0], far_limit=10.0)
    assert "taken to stand still" in warnings(heard)[0]
    _, points = read_ply(tmp_path / "out" / "street_points.1003.ply")
    assert [float(points[0][name]) for name in "xyz"] == pytest.approx([-1, 2, 0.6], abs=1e-5)


@pytest.mark.parametrize("waiting", rest_slow([0, 10**7], 1))
def test_voxels_that_are_too_small(depth, tmp_path, monkeypatch, waiting):
    monkeypatch.setattr(point_cloud, "_MOST_WAITING", waiting)
    with pytest.raises(Failure, match="too small"):
        run(depth, tmp_path / "out", "ply", merged=True, voxel=1e-7)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------------------------------------------------- camera


def test_camera_of_nuke(depth, tmp_path):
    _, heard = run(depth, tmp_path, "chan", scale=10.0)
    lines = [
        [float(word) for word in line.split()] for line in (tmp_path / "street_camera.chan").read_text().splitlines()
    ]
    assert [line[0] for line in lines] == list(FRAMES)
    assert lines[3][1:7] == pytest.approx([3, 0, 0, 0, 0, 0])
    assert lines[0][7] == pytest.approx(np.degrees(2 * np.arctan(24 / 60))) and not warnings(heard)


def test_a_lens_that_zooms_shifts_and_distorts(tmp_path):
    depth = make(tmp_path)
    sequence = depth_sequence.load(depth)
    camera = filmed(FRAMES)
    poses = tuple(replace(pose, focal_length=30.0 + i) for i, pose in enumerate(camera.poses))
    camera = replace(camera, poses=poses, principal_point=(20.0, 11.5), distortion=(-0.1,), distortion_model="division")
    shots = (replace(sequence.shots[0], camera=camera),)
    depth_sequence.save(replace(sequence, shots=shots), depth)
    _, heard = run(depth, tmp_path / "out", "chan")
    fields = [float(line.split()[7]) for line in (tmp_path / "out" / "street_camera.chan").read_text().splitlines()]
    assert fields == pytest.approx([np.degrees(2 * np.arctan(12 / (30 + i))) for i in range(4)])
    (sentence,) = warnings(heard)
    assert "shift of +4.5, +0.0 pixels" in sentence and "distortion (division: -0.1)" in sentence


def test_the_camera_that_a_shot_stands_under(tmp_path):
    """It has the place of the depth's own, also where that has none."""
    depth = make(tmp_path, camera=False)
    poses = tuple(replace(p, camera_to_world=((1, 0, 0, 5.0), *p.camera_to_world[1:])) for p in filmed(FRAMES).poses)
    placed = Placement(
        first_frame=1001,
        line=((1001, 1.0, 0.0),),
        far_limit=10.0,
        scale=2.0,
        path_scale=0.5,
        camera=replace(filmed(FRAMES), poses=poses),
    )
    run(depth, tmp_path / "out", "chan", placements=(placed,))
    lines = (tmp_path / "out" / "street_camera.chan").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["5"] * 4
    run(depth, tmp_path / "points", "ply", placements=(placed,), last_frame=1001)
    _, points = read_ply(tmp_path / "points" / "street_points.1001.ply")
    assert [float(points[0][name]) for name in "xyz"] == pytest.approx([5 - 2, 4, 1.2], abs=1e-5)


def test_a_chan_is_read_back_as_it_was(tmp_path):
    """By the reader that takes solved cameras in."""
    depth = make(tmp_path)
    run(depth, tmp_path / "out", "chan")
    found = camera_files.load(tmp_path / "out" / "street_camera.chan", width=PLATE[0], height=PLATE[1])
    expected = filmed(FRAMES)
    assert found.focal_length == pytest.approx(expected.focal_length)
    for one, other in zip(found.poses, expected.poses, strict=True):
        assert one.frame == other.frame and np.allclose(one.camera_to_world, other.camera_to_world, atol=1e-6)


def test_each_shot_has_its_own_camera(tmp_path):
    depth = make(tmp_path, shots=((1001, 1002, "done"), (1003, 1004, "done")))
    run(depth, tmp_path / "out", "chan")
    assert names(tmp_path / "out") == [
        "street_camera.chan.json", "street_camera_1001-1002.chan", "street_camera_1003-1004.chan",
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------- files and their ends


def test_what_is_not_ours_stays(depth, tmp_path):
    foreign = tmp_path / "street_depth.1003.png"
    foreign.write_bytes(b"mine")
    with pytest.raises(Failure, match="exists already, and is not of this export") as caught:
        run(depth, tmp_path, "png", full_size=False)
    assert caught.value.code == exit_codes.BAD_OUTPUT
    assert names(tmp_path) == [foreign.name] and foreign.read_bytes() == b"mine"
    run(depth, tmp_path, "png", full_size=False, overwrite=True)
    assert cv2.imread(str(foreign), cv2.IMREAD_UNCHANGED).dtype == np.uint16


@pytest.mark.parametrize("runs", [[[1001, 1000]], [[0, 10**6]] * 20_000, [[1001, 1003], [1003, 1004]]])
def test_a_record_of_runs_that_do_not_follow_each_other_is_none(depth, tmp_path, runs):
    run(depth, tmp_path, "png", full_size=False)
    record = tmp_path / "street_depth.png.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"written": runs, "finished": False}))
    with pytest.raises(Failure, match="not of this export"):
        run(depth, tmp_path, "png", full_size=False)


def test_other_settings_are_another_export(depth, tmp_path):
    run(depth, tmp_path, "png", full_size=False)
    with pytest.raises(Failure, match="not of this export"):
        run(depth, tmp_path, "png", full_size=False, far_white=True)
    run(depth, tmp_path, "png", full_size=False, far_white=True, overwrite=True)
    assert cv2.imread(str(tmp_path / "street_depth.1001.png"), cv2.IMREAD_UNCHANGED)[5, 0] == 0


@pytest.mark.parametrize("kind", ["exr", "movie"])
def test_cancelled_and_resumed(depth, tmp_path, kind):
    asked = iter(range(100))

    def check():
        if next(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(depth, tmp_path / "out", kind, full_size=False, check=check)
    if kind == "movie":
        assert not (tmp_path / "out").exists()
    else:
        assert names(tmp_path / "out") == ["street_depth.1001.exr", "street_depth.1002.exr", "street_depth.exr.json"]
        kept = (tmp_path / "out" / "street_depth.1001.exr").stat().st_mtime_ns
    outcome, _ = run(depth, tmp_path / "out", kind, full_size=False)
    assert outcome.frames == 4
    if kind == "exr":
        assert (tmp_path / "out" / "street_depth.1001.exr").stat().st_mtime_ns == kept
        assert read_exr(tmp_path / "out" / "street_depth.1004.exr")[1]["Z"].shape == MAP[::-1]


def test_a_finished_export_is_not_written_again(depth, tmp_path):
    run(depth, tmp_path, "png", full_size=False, last_frame=1002)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    outcome, heard = run(depth, tmp_path, "png", full_size=False, last_frame=1002)
    assert outcome.frames == 2 and "there already" in warnings(heard)[0]
    run(depth, tmp_path, "png", full_size=False)  # more frames of the same
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times
    assert len(list(tmp_path.glob("*.png"))) == 4
    (tmp_path / "street_depth.1002.png").unlink()
    run(depth, tmp_path, "png", full_size=False)
    assert (tmp_path / "street_depth.1002.png").exists()


@pytest.mark.parametrize("kind", ["exr", "png", "movie", "ply"])
def test_depth_that_is_replaced_meanwhile_ends_the_export(tmp_path, kind):
    """Its record goes before its first map is replaced: what was written before is of the old depth alone."""
    depth, out = make(tmp_path), tmp_path / "out"
    looks = []

    def check():
        looks.append(None)
        if len(looks) == 3:
            (depth / "depth.json").unlink()
            write_map(depth / disparity_name(1003), np.full(MAP[::-1], 0.1, np.float32))

    with pytest.raises(Failure, match="was replaced while it was exported"):
        run(depth, out, kind, check=check)
    made = {path.name for path in out.glob("*") if path.suffix != ".json"}
    assert not any("1003" in name or "1004" in name or name.endswith(".mp4") for name in made)


def of_a_map(tmp_path):
    write_map(tmp_path / "depth" / disparity_name(1002), np.full(MAP[::-1], 0.1, np.float32))


def of_the_plate(tmp_path):
    cv2.imwrite(
        str(tmp_path / "plate" / "street.1002.png"), np.random.default_rng(0).integers(0, 255, (*PLATE[::-1], 3))
    )


def of_a_matte(tmp_path):
    cv2.imwrite(str(tmp_path / "mattes" / "m.1002.png"), np.full(PLATE[::-1], 90, np.uint8))


def of_the_colors(tmp_path):
    path = tmp_path / "config.ocio"
    before = path.stat()
    path.write_text(path.read_text().replace("0", "1", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [of_a_map, of_the_plate, of_a_matte, of_the_colors])
@pytest.mark.parametrize("is_whole", [True, False])
def test_files_of_what_has_changed_since_are_not_gone_on_with(tmp_path, monkeypatch, change, is_whole):
    depth, out = make(tmp_path), tmp_path / "out"
    config = "# 0\n" + PyOpenColorIO.Config.CreateFromFile("ocio://cg-config-latest").serialize()
    (tmp_path / "config.ocio").write_text(config)
    monkeypatch.setenv("OCIO", str(tmp_path / "config.ocio"))
    mattes = make_mattes(tmp_path / "mattes", 8)
    looks = []

    def check():
        looks.append(None)
        if len(looks) > 3 and not is_whole:
            raise Cancelled

    with contextlib.nullcontext() if is_whole else pytest.raises(Cancelled):
        run(depth, out, "exr", mattes=str(mattes), check=check)
    change(tmp_path)
    with pytest.raises(Failure, match="is of this export before files that it reads changed"):
        run(depth, out, "exr", mattes=str(mattes))
    run(depth, out, "exr", mattes=str(mattes), overwrite=True)
    run(depth, tmp_path / "fresh", "exr", mattes=str(mattes))
    exrs = [{path.name: path.read_bytes() for path in each.glob("*.exr")} for each in (out, tmp_path / "fresh")]
    assert exrs[0] == exrs[1]


def test_files_of_an_earlier_export_beside_those_of_this_one_are_said(depth, tmp_path):
    run(depth, tmp_path, "exr", full_size=False)
    _, heard = run(
        depth, tmp_path, "exr", full_size=False, scale=2.0, first_frame=1002, last_frame=1003, overwrite=True
    )
    assert "Frames 1001, 1004 in the folder are of an earlier export and stay" in " ".join(warnings(heard))
    _, heard = run(
        depth, tmp_path, "exr", full_size=False, scale=2.0, first_frame=1004, last_frame=1004, overwrite=True
    )
    assert warnings(heard) == []
    _, heard = run(depth, tmp_path, "exr", full_size=False, scale=2.0, overwrite=True)
    assert warnings(heard) == []


@pytest.mark.parametrize(("kind", "sizes"), [("exr", {"full_size": False}), ("png", {"full_size": False}), ("ply", {})])
def test_an_export_that_replaces_another_and_is_cancelled_leaves_nothing_of_that(depth, tmp_path, kind, sizes):
    """Half of each would look whole."""
    run(depth, tmp_path, kind, **sizes)
    before, changed = {path: path.read_bytes() for path in tmp_path.iterdir()}, {"exr": {"scale": 2.0}}
    changed |= {"png": {"far_white": True}, "ply": {"minimum_confidence": 0.5}}
    heard = []

    def cancel():
        if sum(path.suffix != ".json" and path.read_bytes() != before.get(path) for path in tmp_path.glob("s*")) == 2:
            heard.append(None)
            raise Cancelled

    with pytest.raises(Cancelled):
        run(depth, tmp_path, kind, check=cancel, overwrite=True, **sizes, **changed[kind])
    there = [path for path in before if path.exists() and path.suffix != ".json"]
    assert heard and len(there) == 2 and all(path.read_bytes() != before[path] for path in there)
    run(depth, tmp_path, kind, **sizes, **changed[kind])
    assert all(path.exists() for path in before)


def test_what_a_killed_run_left_is_cleared(depth, tmp_path):
    (tmp_path / ".tmp-99-street_depth.1001.png").write_bytes(b"half")
    (tmp_path / ".tmp-99-other.png").write_bytes(b"another's")
    run(depth, tmp_path, "png", full_size=False)
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".tmp-99-other.png"]


def test_a_disk_that_is_full(depth, tmp_path, monkeypatch):
    """What was written before stays, and the export goes on once there is room."""
    whole = exr.write_channels

    def full(path, *arguments, **options):
        if "1003" in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        whole(path, *arguments, **options)

    monkeypatch.setattr(exr, "write_channels", full)
    with pytest.raises(Failure, match=r"The disk is full: .* MB more are needed"):
        run(depth, tmp_path, "exr", full_size=False)
    assert names(tmp_path) == ["street_depth.1001.exr", "street_depth.1002.exr", "street_depth.exr.json"]
    monkeypatch.undo()
    run(depth, tmp_path, "exr", full_size=False)
    assert len(list(tmp_path.glob("*.exr"))) == 4


def test_a_link_in_the_way(depth, tmp_path):
    """It is not followed, and not replaced unasked."""
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "street_depth.1002.png").symlink_to(outside)
    with pytest.raises(Failure, match="not of this export"):
        run(depth, tmp_path / "out", "png", full_size=False)
    run(depth, tmp_path / "out", "png", full_size=False, overwrite=True)
    assert outside.read_bytes() == b"mine" and not (tmp_path / "out" / "street_depth.1002.png").is_symlink()


def test_maps_that_are_missing(tmp_path):
    depth = make(tmp_path)
    (depth / disparity_name(1003)).unlink()
    with pytest.raises(ClipError, match=r"disparity\.1003\.exr is missing"):
        run(depth, tmp_path / "out", "png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["exr", "png"])
def test_a_map_without_a_finite_value_is_no_depth(tmp_path, kind):
    depth = make(tmp_path)
    write_channels(depth / disparity_name(1003), {"Y": np.full(MAP[::-1], np.nan, np.float32)})
    with pytest.raises(ClipError, match=r"frame 1003 .* has no finite depth"):
        run(depth, tmp_path / "out", kind)


def test_no_frame_has_depth(tmp_path):
    depth = make(tmp_path, shots=((1001, 1002, "done"), (1003, 1004, "refused")))
    with pytest.raises(JobError, match="No frame from 1003 to 1004 has depth"):
        run(depth, tmp_path / "out", "png", first_frame=1003)


def test_two_at_once(depth, tmp_path):
    started, go = threading.Event(), threading.Event()

    def check():
        started.set()
        go.wait(10)

    thread = threading.Thread(target=lambda: run(depth, tmp_path, "exr", full_size=False, check=check))
    thread.start()
    try:
        assert started.wait(10)
        with pytest.raises(Failure, match="Another run"):
            run(depth, tmp_path, "png", full_size=False)
    finally:
        go.set()
        thread.join()
