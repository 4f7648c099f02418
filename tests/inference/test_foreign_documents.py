"""A depth.json, a job and a state that somebody else wrote, or that something damaged: one sentence, soon."""

import copy
import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from inference.contract import depth_sequence, events, job, leftovers
from inference.contract.depth_sequence import DepthSequenceError
from inference.contract.job import JobError
from inference.run import output

IDENTITY = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
CAMERA = {
    "width": 64,
    "height": 48,
    "focal_length": 50.0,
    "principal_point": [31.5, 23.5],
    "distortion": [0.0, 0.0],
    "poses": [{"frame": frame, "camera_to_world": IDENTITY} for frame in (1, 2, 3)],
}
SHOTS = [
    {
        "first_frame": 1,
        "last_frame": 3,
        "status": "done",
        "range": {"minimum": 0.0, "maximum": 2.0, "p1": 0.1, "p99": 1.9},
        "camera": CAMERA,
    },
    {"first_frame": 4, "last_frame": 5, "status": "refused", "reason": "Too short."},
]
SOURCE = {"kind": "sequence", "path": "../plate", "files": [f"a.{n}.png" for n in range(1, 6)], "fps": 24.0}
DEPTH = {
    "source": SOURCE,
    "first_frame": 1,
    "last_frame": 5,
    "width": 64,
    "height": 48,
    "quantity": "inverse_depth",
    "shots": SHOTS,
    "estimator": "parallax",
    "fingerprint": "abc",
    "parameters": {"steps": 1},
    "weights": [{"repository": "r", "revision": "v", "file": "f", "sha256": "s", "licence": "l"}],
    "versions": {"numpy": "2"},
    "seconds": 1.5,
    "schema_version": 1,
}
JOB = {"source": SOURCE, "output": "/nowhere/depth", "first_frame": 1, "last_frame": 5, "camera": CAMERA, "cuts": "2,4"}
STATE = {
    "key": "k",
    "first_frame": 1,
    "last_frame": 5,
    "shots": SHOTS,
    "phase": "publishing",
    "sequence": DEPTH,
    "replaced": [1, 4],
    "share": 0.5,
}
HUGE = int("9" * 401)


def changed(document, path, value):
    """A document with another value at a path such as ``shots.0.first_frame``."""
    made = copy.deepcopy(document)
    *way, last = path.split(".")
    place = made
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return made


def written(document) -> str:
    return json.dumps(document)


IN_BOTH = [
    ("source.width", 0),
    ("source.height", -1),
    ("source.width", 10**7),
    ("source.width", HUGE),
    ("source.fps", 0),
    ("source.fps", float("nan")),
    ("source.fps", HUGE),
    ("source.rotation", 45),
    ("source.stream", -1),
    ("source.stream", 10**10),
    ("source.frame_count", 0),
    ("source.path", ""),
    ("source.path", "\ud800"),
    ("source.path", "a\0b"),
    ("source.path", 7),
    ("source.path", "x" * 300),
    ("source.files", ["é" * 200 + "1.png"]),
    ("source.path", "x" * 40_000),
    ("source.files", ["../../etc/passwd"]),
    ("source.files", ["/etc/passwd"]),
    ("source.files", [".."]),
    ("source.files", []),
    ("source.files", ["a." + "9" * 5000 + ".png"]),
    ("source.files", None),
    ("source.colorspace", "\udc80"),
    ("first_frame", -1),
    ("first_frame", 6),
    ("last_frame", 10**7),
    ("last_frame", 10**10),
    ("last_frame", HUGE),
    ("last_frame", 5.5),
    ("last_frame", True),
    ("seed", -1),
    ("seed", 2**31),
    ("estimator", "\ud800"),
    ("estimator", "a\x1b[2J"),
    ("parameters", {"a": float("inf")}),
    ("parameters", {"a": HUGE}),
    ("parameters", {"a": {"b": "\ud800"}}),
    ("parameters", []),
]
OF_A_CAMERA = [
    ("width", 0),
    ("focal_length", 0),
    ("focal_length", -1),
    ("focal_length", float("inf")),
    ("focal_length", HUGE),
    ("principal_point", [1e300, 0]),
    ("principal_point", [0]),
    ("distortion", [float("nan"), 0]),
    ("poses.0.frame", 2),
    ("poses.0.frame", -1),
    ("poses.2.frame", 10**10),
    ("poses.0.camera_to_world", [[0.0] * 4] * 4),
    ("poses.0.camera_to_world", [[1e300] * 4] * 4),
    ("poses.0.camera_to_world", IDENTITY[:3]),
    ("poses.0.camera_to_world", [[-1.0, 0.0, 0.0, 0.0], *IDENTITY[1:]]),
    ("poses.0.camera_to_world", [*IDENTITY[:3], [0.0, 0.0, 0.0, 2.0]]),
    ("poses.0.camera_to_world.0.0", "1"),
]
OF_DEPTH = [
    *IN_BOTH,
    *((f"shots.0.camera.{path}", value) for path, value in OF_A_CAMERA),
    ("width", 0),
    ("height", 10**10),
    ("fingerprint", "\ud800"),
    ("fingerprint", "\udc80"),
    ("fingerprint", "x" * 2000),
    ("fingerprint", None),
    ("confidence", "\ud800"),
    ("quantity", "metres"),
    ("quantity", [["a"]]),
    ("seconds", -1),
    ("seconds", float("inf")),
    ("versions", {"\ud800": "1"}),
    ("versions", {"a": 1}),
    ("weights.0.sha256", "\ud800"),
    ("shots", {}),
    ("shots", []),
    ("shots", [SHOTS[1], SHOTS[0]]),
    ("shots", [SHOTS[0], SHOTS[0]]),
    ("shots.0.last_frame", 4),
    ("shots.0.first_frame", 0),
    ("shots.1.last_frame", 3),
    ("shots.1.last_frame", 6),
    ("shots.1.last_frame", 10**10),
    ("shots.1.status", "maybe"),
    ("shots.0.range.p1", 1.95),
    ("shots.0.range.minimum", 0.2),
    ("shots.0.range.maximum", 1e39),
    ("shots.0.range.maximum", HUGE),
    ("shots.0.camera.poses", CAMERA["poses"][:2]),
    ("shots.0.camera.poses", CAMERA["poses"] * 2),
    ("schema_version", "1"),
]


def test_the_documents_themselves_are_valid(tmp_path):
    (tmp_path / "depth.json").write_text(written(DEPTH))
    assert depth_sequence.load(tmp_path).shots[0].camera.poses[2].frame == 3
    (tmp_path / "job.json").write_text(written(JOB))
    assert job.load(tmp_path / "job.json").cuts == "2,4"
    (tmp_path / "state.json").write_text(written(STATE))
    assert output.read_state(tmp_path).sequence.fingerprint == "abc"


@pytest.mark.parametrize(("path", "value"), OF_DEPTH)
def test_a_depth_sequence_that_cannot_be_is_refused_in_one_sentence(tmp_path, path, value):
    (tmp_path / "depth.json").write_text(written(changed(DEPTH, path, value)))
    with pytest.raises(DepthSequenceError, match=r"is not a depth sequence: depth\.json") as caught:
        depth_sequence.load(tmp_path)
    assert str(caught.value).isprintable() and str(caught.value).endswith(".") and len(str(caught.value)) < 1200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *IN_BOTH,
        *((f"camera.{path}", value) for path, value in OF_A_CAMERA),
        ("output", ""),
        ("output", "\ud800"),
        ("output", "a\0b"),
        ("mattes", "a\0b"),
        ("source.ocio_config", "a\0b"),
        ("size", HUGE),
        ("size", 10**6),
        ("cuts", "9" * 5000),
        ("cuts", "3000000"),
        ("cuts", "\ud800"),
        ("cuts", "5," * 100_000),
        ("first_frame", [1]),
    ],
)
def test_a_job_that_cannot_be_is_refused_in_one_sentence(tmp_path, path, value):
    (tmp_path / "job.json").write_text(written(changed(JOB, path, value)))
    with pytest.raises(JobError) as caught:
        job.load(tmp_path / "job.json")
    assert str(caught.value).isprintable() and str(caught.value).endswith(".") and len(str(caught.value)) < 1200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((f"sequence.{path}", value) for path, value in OF_DEPTH),
        ("first_frame", 6),
        ("last_frame", 10**10),
        ("key", "\ud800"),
        ("plate", "a\0b"),
        ("share", 2),
        ("share", float("nan")),
        ("seconds", HUGE),
        ("sequence", None),
        ("replaced", [1, 10**10]),
        ("replaced", [4, 1]),
        ("replaced", [1]),
        ("shots.0.first_frame", 10**10),
        ("news", 1),
    ],
)
def test_a_state_that_cannot_be_is_none(tmp_path, path, value):
    (tmp_path / "state.json").write_text(written(changed(STATE, path, value)))
    assert output.read_state(tmp_path) is None


BROKEN = [
    b"",
    b"\xff\xfe{}",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"share": ' + b"9" * 401 + b"}",
    b'{"share": ' + b"9" * 5000 + b"}",
    b'{"share": NaN, "fingerprint": "f"}',
    b'{"share": 0.5, "share": 0.6}',
    b'{"fingerprint": "\\ud800"}',
    b'{"shots": 1, "fingerprint": []}',
    b"[]",
    b"null",
]


@pytest.mark.parametrize("content", BROKEN)
def test_nothing_that_lies_in_a_scratch_folder_harms(tmp_path, content):
    scratch = tmp_path / depth_sequence.SCRATCH
    scratch.mkdir()
    for name in (depth_sequence.STATE, leftovers.LOCK):
        (scratch / name).write_bytes(content)
    assert output.read_state(scratch) is None
    assert depth_sequence.unfinished_fingerprint(tmp_path) is None
    assert depth_sequence.unfinished_plate(tmp_path) is None
    assert depth_sequence.unfinished_progress(tmp_path) == 0
    assert leftovers.holds_work(tmp_path) in (True, False)
    leftovers.take_away(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="there are no pipes among files")
@pytest.mark.timeout(30)
def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path):
    scratch = tmp_path / depth_sequence.SCRATCH
    scratch.mkdir()
    for path in (tmp_path / "depth.json", scratch / "state.json", scratch / "lock", tmp_path / "job.json"):
        os.mkfifo(path)
    with pytest.raises(DepthSequenceError, match="is a pipe or a device and not a file, so it is not a depth sequence"):
        depth_sequence.load(tmp_path)
    with pytest.raises(JobError, match="is a pipe or a device and not a file"):
        job.load(tmp_path / "job.json")
    assert output.read_state(scratch) is None and depth_sequence.unfinished_progress(tmp_path) == 0
    leftovers.take_away(tmp_path)


def test_a_folder_a_link_to_nothing_and_a_name_that_is_none_are_no_depth_sequence(tmp_path):
    (tmp_path / "a" / "depth.json").mkdir(parents=True)
    with pytest.raises(DepthSequenceError, match="is a folder and not a file"):
        depth_sequence.load(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "depth.json").symlink_to(tmp_path / "none")
    with pytest.raises(DepthSequenceError, match=r"contains no depth\.json"):
        depth_sequence.load(tmp_path / "b")
    for folder in ("a\0b", "a\ud800b"):
        with pytest.raises(DepthSequenceError):
            depth_sequence.load(folder)


@pytest.mark.parametrize("last", [1_048_574, 10**7, 10**10, 10**300])
def test_many_frames_cost_neither_time_nor_memory(tmp_path, last):
    document = changed(changed(DEPTH, "last_frame", last), "shots.1.last_frame", last)
    document["source"] = {"kind": "movie", "path": "clip.mov"}
    (tmp_path / "depth.json").write_text(written(document))
    tracemalloc.start()
    begun = time.process_time()
    try:
        depth_sequence.load(tmp_path)
    except DepthSequenceError:
        assert last > 1_048_574
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - begun < 1 and peak < 5e6


def test_a_file_without_end_is_not_read(tmp_path):
    with open(tmp_path / "depth.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DepthSequenceError, match="is larger than 67 MB"):
        depth_sequence.load(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="other paths are absolute there")
@pytest.mark.parametrize(
    "path",
    [
        "/net/elsewhere/clip.mov",
        "//server/share/clip.mov",
        "\\\\server\\share\\clip.mov",
        "D:\\clip.mov",
        "../" * 40 + "net/x",
    ],
)
def test_a_place_elsewhere_is_not_even_looked_at(tmp_path, monkeypatch, path):
    document = changed(DEPTH, "source", {"kind": "movie", "path": path})
    (tmp_path / "depth.json").write_text(written(document))
    touched = []
    real = os.stat

    def watched(place, *arguments, **options):
        touched.append(os.fspath(place) if not isinstance(place, int) else "")
        return real(place, *arguments, **options)

    monkeypatch.setattr(os, "stat", watched)
    monkeypatch.setattr(os, "lstat", watched)
    found = depth_sequence.load(tmp_path).source.path
    assert not [place for place in touched if "net" in Path(place).parts[:3] or "server" in place or "D:" in place]
    assert not depth_sequence.lies_near(found, tmp_path)
    assert found == ("/net/x" if path.startswith("..") else path)


def test_a_plate_near_the_depth_may_be_looked_at(tmp_path):
    (tmp_path / "depth").mkdir()
    for path in ("../clip.mov", "clip.mov"):
        (tmp_path / "depth" / "depth.json").write_text(
            written(changed(DEPTH, "source", {"kind": "movie", "path": path}))
        )
        assert depth_sequence.lies_near(depth_sequence.load(tmp_path / "depth").source.path, tmp_path / "depth")


def test_events_and_their_texts_are_never_lost():
    one = events.Error(code=1, what="\ud800\x1b[2J", why="x" * 200_000)
    assert events.decode(events.encode(one)) == one
