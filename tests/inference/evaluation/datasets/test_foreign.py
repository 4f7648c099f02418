"""Ground truth files from elsewhere: any fault is one sentence, at once and without much memory."""

import io
import json
import os
import signal
import struct
import tracemalloc
import zlib

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from inference.common.failures import ClipError
from inference.evaluation import datasets
from inference.evaluation.datasets.ground_truth import GroundTruthError

TAG = struct.pack("<f", 202021.25)
EYE = "\n".join(" ".join(map(str, row)) for row in np.eye(4))
CAMERA = {"width": 8, "height": 6, "fx": 5, "fy": 5, "cx": 3, "cy": 2, "frames": [{"c2w_opencv": np.eye(4).tolist()}]}


@pytest.fixture(autouse=True)
def at_once():
    """Whatever waits is a failure, and no hang of the tests."""

    def late(*_):
        raise AssertionError("it waits")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)


def put(path, content):
    """A file of some content; or a pipe, a folder or a device, by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content == "pipe":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    elif content == "device":
        path.symlink_to("/dev/zero")
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        path.write_bytes(content)


def depth(path):
    put(path, cv2.imencode(".png", np.full((6, 8), 2000, np.uint16))[1].tobytes())


def read(root, layout):
    """Everything of every clip; where it can be read."""
    for clip in datasets.open_clips(root, layout):
        for frame in range(len(clip)):
            clip.depth(frame), clip.image(frame), clip.moving(frame), clip.flow(frame)


def refused(root, layout):
    """One sentence in one line."""
    with pytest.raises((GroundTruthError, ClipError)) as told:
        read(root, layout)
    text = str(told.value)
    assert len(text.splitlines()) == 1 and text.isprintable() and len(text) < 2000
    return text


@pytest.fixture
def little_memory():
    """What is declared is not taken."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def camera(**changed):
    return json.dumps(CAMERA | changed)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"a":' * 50_000, id="deep objects"),
        pytest.param(camera().replace('"fx": 5', '"fx": ' + "9" * 401), id="401 digits"),
        pytest.param(camera().replace('"fx": 5', '"fx": ' + "9" * 5000), id="5000 digits"),
        pytest.param(camera().replace('"fx": 5', '"fx": 1e999'), id="infinite"),
        pytest.param(camera(width=float("inf")), id="infinite width"),
        pytest.param(camera(width=float("nan")), id="width that is no number"),
        pytest.param(camera(width=-8), id="negative width"),
        pytest.param(camera(width=10**9, height=10**9), id="giant width"),
        pytest.param(camera(frames=5), id="frames as a number"),
        pytest.param(camera(frames=[{"c2w_opencv": "x" * 16}]), id="pose of letters"),
        pytest.param(camera(frames=[{"c2w_opencv": [[10**300] * 4] * 4}]), id="pose of giants"),
        pytest.param(camera(frames=[{"c2w_opencv": None}] * 200_000), id="many frames"),
        pytest.param('{"fx": "\\u001b]0;x\\u0007"}', id="an escape"),
        pytest.param(b"\xff\xfe{}", id="no text"),
        pytest.param(b"\0" * (1 << 25), id="too large"),
        "[]",
        "null",
        "pipe",
        "folder",
        "device",
    ],
)
def test_a_camera_file(tmp_path, content):
    depth(tmp_path / "depth" / "00000.png")
    put(tmp_path / "camera.json", content)
    refused(tmp_path, "folder")


@pytest.mark.parametrize("kind", ["depth", "dynamic", "rgb"])
@pytest.mark.parametrize("content", ["pipe", "folder", "device", b"", b"junk"])
def test_a_image(tmp_path, kind, content):
    depth(tmp_path / "depth" / "00000.png")
    put(tmp_path / "camera.json", camera())
    (tmp_path / kind / "00000.png").unlink(missing_ok=True)
    put(tmp_path / kind / "00000.png", content)
    refused(tmp_path, "folder")


def giant_png(width, height):
    """A few hundred bytes that declare an image of 16 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["depth", "dynamic", "rgb"])
@pytest.mark.parametrize("side", [0, 30_000, 60_000, 1_000_000, 2**31 - 1])
def test_a_image_that_declares_a_giant_size(tmp_path, kind, side):
    depth(tmp_path / "depth" / "00000.png")
    put(tmp_path / "camera.json", camera())
    put(tmp_path / kind / "00000.png", giant_png(side, side))
    refused(tmp_path, "folder")


def sintel(root, **changed):
    pose = np.eye(4)[:3].astype("<f8").tobytes()
    contents = {
        "depth/alley/frame_{}.dpt": TAG + struct.pack("<ii", 8, 6) + bytes(192),
        "flow/alley/frame_{}.flo": TAG + struct.pack("<ii", 8, 6) + bytes(384),
        "camdata_left/alley/frame_{}.cam": TAG + np.eye(3).astype("<f8").tobytes() + pose,
    }
    for name, content in contents.items():
        for frame in ("0001", "0002"):
            put(root / "training" / name.format(frame), changed.get(name[-3:], content))


@pytest.mark.parametrize("ending", ["dpt", "flo", "cam"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        TAG,
        TAG + bytes(4),
        TAG + struct.pack("<ii", -8, -6) + bytes(192),
        TAG + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bytes(100),
        b"abcd" * 10,
        "pipe",
        "folder",
        "device",
    ],
)
def test_a_file_of_sintel(tmp_path, ending, content):
    sintel(tmp_path, **{ending: content})
    refused(tmp_path, "sintel")


@pytest.mark.usefixtures("little_memory")
def test_a_giant_file_of_sintel_is_not_read(tmp_path):
    sintel(tmp_path)
    file = tmp_path / "training" / "depth" / "alley" / "frame_0001.dpt"
    file.write_bytes(TAG + struct.pack("<ii", 32768, 32768))
    os.truncate(file, 12 + 4 * 32768**2)
    assert "is larger than" in refused(tmp_path, "sintel")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e308])
def test_a_camera_of_sintel_that_is_none(tmp_path, value):
    sintel(tmp_path, cam=TAG + struct.pack("<d", value) * 21)
    assert "has no valid camera" in refused(tmp_path, "sintel")


@pytest.mark.parametrize(
    ("rgb", "words"),
    [
        ("nan rgb/1.png", "is not a time and a file"),
        ("inf rgb/1.png", "is not a time and a file"),
        ("1e999 rgb/1.png", "is not a time and a file"),
        ("1.0", "is not a time and a file"),
        ("1.0 ../../secret.png", "outside of its folder"),
        ("1.0 /etc/passwd", "outside of its folder"),
        ("1.0 \\\\server\\share\\a.png", "outside of its folder"),
        ("1.0 C:/a.png", "outside of its folder"),
        ("1.0 rgb/\0.png", "outside of its folder"),
        ("1.0 " + "a" * 5000, "cannot be read"),
        ("\x1b]0;x\x07 rgb", "is not a time and a file"),
        (b"\xff\xfe", "is not text"),
        ("pipe", "pipe or a device"),
    ],
)
def test_a_list_of_bonn(tmp_path, rgb, words):
    depth(tmp_path / "depth" / "1.png")
    put(tmp_path / "depth.txt", "1.0 depth/1.png\n")
    put(tmp_path / "rgb.txt", rgb)
    assert words in refused(tmp_path, "bonn")


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("step", [0, 1e-6])
def test_times_closer_than_frames_are_not_compared_each_with_each(tmp_path, step):
    depth(tmp_path / "depth" / "1.png")
    for name in ("rgb", "depth"):
        put(tmp_path / f"{name}.txt", "".join(f"{1 + step * line} depth/1.png\n" for line in range(5000)))
    assert "closer than a camera's frames" in refused(tmp_path, "bonn")


@pytest.mark.parametrize("name", ["pose/0.txt", "intrinsic/intrinsic_depth.txt"])
@pytest.mark.parametrize("content", ["", "1 2 3", "-inf " * 16, "import os", b"\xff\xfe\0", "1 " * 500_000])
def test_a_matrix_of_scannet(tmp_path, name, content):
    depth(tmp_path / "depth" / "0.png")
    put(tmp_path / name, content)
    refused(tmp_path, "scannet")


@pytest.mark.parametrize("stem", ["9" * 200, "\N{ARABIC-INDIC DIGIT THREE}", "1048575"])
def test_a_number_that_no_frame_has(tmp_path, stem):
    depth(tmp_path / "depth" / f"{stem}.png")
    refused(tmp_path, "scannet")


RIGID = "R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n"
PROJECTION = "P_rect_02: 7 0 3 0 0 7 2 0 0 0 1 0\nR_rect_00: 1 0 0 0 1 0 0 0 1\n"


def kitti(root, stem="0000000005", **changed):
    recording = root / "2011_09_26" / "2011_09_26_drive_0002_sync"
    depth(root / "val" / recording.name / "proj_depth" / "groundtruth" / "image_02" / f"{stem}.png")
    depth(recording / "image_02" / "data" / f"{stem}.png")
    contents = {
        "camera": (recording.parent / "calib_cam_to_cam.txt", PROJECTION),
        "lidar": (recording.parent / "calib_velo_to_cam.txt", RIGID),
        "imu": (recording.parent / "calib_imu_to_velo.txt", RIGID),
        "path": (recording / "oxts" / "data" / f"{stem}.txt", "49 8 100 0 0 0"),
    }
    for name, (path, content) in contents.items():
        put(path, changed.get(name, content))
    return root


@pytest.mark.parametrize("name", ["camera", "lidar", "imu", "path"])
@pytest.mark.parametrize("number", ["", "nan", "1e999", "90.5", b"\xff"])
def test_a_calibration_of_kitti(tmp_path, name, number):
    if isinstance(number, str):
        lines = {"P_rect_02": 12, "R_rect_00": 9, "R": 9, "T": 3}
        several = "\n".join(f"{line}: {' '.join([number] * count)}" for line, count in lines.items())
        number = " ".join([number] * 6) if name == "path" else several
    if name == "camera" and "90.5" in str(number):
        number = number.replace("90.5", "0")
    refused(kitti(tmp_path, **{name: number}), "kitti")


@pytest.mark.parametrize("stem", ["a", "-1", "\N{SUPERSCRIPT TWO}", "9" * 200])
def test_a_name_of_kitti_that_is_no_frame(tmp_path, stem):
    refused(kitti(tmp_path, stem), "kitti")


def labeled(root, make):
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.ones((2, 3, 8, 6), np.uint8)
        make(file)


def giant(file):
    file.create_dataset("depths", shape=(2, 200_000, 200_000), dtype="f4", chunks=(1, 9, 9), compression="gzip")


def elsewhere(file):
    file.create_dataset("depths", shape=(2, 8, 6), dtype="f4", external=[("/etc/passwd", 0, 2 * 8 * 6 * 4)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(2, 8, 6), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "depths", shape=(2, 8, 6))
    file.create_virtual_dataset("depths", layout)


@pytest.mark.parametrize(
    "make",
    [
        giant,
        elsewhere,
        virtual,
        lambda file: file.create_dataset("depths", shape=(10**12, 8, 6), dtype="f4", chunks=(1, 8, 6)),
        lambda file: file.create_dataset("depths", shape=(63, 4096, 4096), dtype="f4", chunks=(63, 4096, 4096)),
        lambda file: file.create_dataset("depths", data=1.0),
        lambda file: file.create_group("depths"),
        lambda file: file.create_dataset("depths", data=np.array([b"abc", b"d"])),
        lambda file: file.create_dataset("depths", data=np.ones(5)),
        lambda file: file.create_dataset("depths", data=np.ones((0, 8, 6))),
        lambda file: file.create_dataset("depths", shape=(2,), dtype=h5py.vlen_dtype(np.float32)),
        lambda file: file.create_dataset("depths", data=np.zeros((2, 8, 6), [("a", "f4")])),
        lambda file: file.__setitem__("depths", h5py.ExternalLink("/etc/passwd", "/x")),
        lambda file: file.__setitem__("depths", h5py.SoftLink("/depths")),
        lambda file: None,
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_a_labeled_set_of_nyu(tmp_path, make):
    labeled(tmp_path, make)
    refused(tmp_path, "nyu")


def matlab(**values):
    buffer = io.BytesIO()
    savemat(buffer, values)
    return buffer.getvalue()


GIANT_MATRIX = (
    b"MATLAB 5.0 MAT-file".ljust(124)
    + b"\x00\x01IM"
    + struct.pack("<II", 14, 2**32 - 8)
    + struct.pack("<IIII", 6, 8, 6, 0)
    + struct.pack("<IIii", 5, 8, 2**31 - 1, 2**31 - 1)
    + struct.pack("<II", 1, 8)
    + b"testNdxs"
    + struct.pack("<II", 9, 2**31 - 1)
)


@pytest.mark.parametrize(
    "content",
    [
        matlab(testNdxs=np.array([[np.nan]])),
        matlab(testNdxs=np.array([[1e30]])),
        matlab(testNdxs=np.array([[1.5]])),
        matlab(testNdxs=np.array([[-1]])),
        matlab(testNdxs=np.array([1 + 2j])),
        matlab(testNdxs="abc"),
        matlab(testNdxs={"a": 1}),
        matlab(other=1),
        matlab(testNdxs=np.arange(1, 3))[:150],
        GIANT_MATRIX,
        b"",
        b"junk" * 100,
        bytes(1 << 21),
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_splits_of_nyu(tmp_path, content):
    labeled(tmp_path, lambda file: file.create_dataset("depths", data=np.ones((2, 8, 6), np.float32)))
    put(tmp_path / "splits.mat", content)
    refused(tmp_path, "nyu")
