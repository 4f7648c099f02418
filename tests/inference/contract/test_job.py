"""Jobs: their way through JSON, their checks, frame numbers."""

import dataclasses
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import job
from inference.contract.camera import Camera, Pose
from inference.contract.job import Job, JobError, Source

FINITE = st.floats(-1e6, 1e6)
WHOLE = st.integers(-(2**63), 2**63 - 1)
PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def _pose(frame, turn, place):
    c, s = math.cos(turn), math.sin(turn)
    x, y, z = place
    return Pose(
        frame=frame, camera_to_world=((c, 0.0, s, x), (0.0, 1.0, 0.0, y), (-s, 0.0, c, z), (0.0, 0.0, 0.0, 1.0))
    )


CAMERAS = st.builds(
    Camera,
    width=st.integers(1, 8192),
    height=st.integers(1, 8192),
    focal_length=st.floats(1, 1e5),
    principal_point=st.tuples(FINITE, FINITE),
    distortion=st.tuples(FINITE, FINITE),
    poses=st.lists(
        st.builds(_pose, st.integers(0, 9999), FINITE, st.tuples(FINITE, FINITE, FINITE)),
        max_size=2,
        unique_by=lambda pose: pose.frame,
    ).map(lambda poses: tuple(sorted(poses, key=lambda pose: pose.frame))),
)
MOVIES = st.builds(
    Source,
    kind=st.just("movie"),
    path=PATHS,
    stream=st.integers(0, 3),
    width=st.none() | st.integers(1, 8192),
    height=st.none() | st.integers(1, 8192),
    rotation=st.sampled_from([None, 0, 90, 180, 270]),
    fps=st.none() | st.floats(1, 240),
    frame_count=st.none() | st.integers(1, 10**6),
    colorspace=st.none() | st.text(min_size=1),
    ocio_config=st.none() | PATHS,
)
JOBS = st.builds(
    Job,
    source=MOVIES,
    output=PATHS.map("depth/{}".format),
    first_frame=st.none() | st.integers(0, 100),
    last_frame=st.none() | st.integers(101, 999),
    parameters=st.dictionaries(
        st.text(), st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | st.text(), max_size=3
    ),
    size=st.none() | st.integers(64, 4096),
    full_size=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
    mattes=st.none() | PATHS,
    camera=st.none() | CAMERAS,
    cuts=st.sampled_from(["auto", "none", "101", "101, 200"]).filter(lambda cuts: len(cuts) < 5),
)


@given(JOBS)
def test_a_job_survives_the_way_through_its_file(tmp_path_factory, wanted):
    path = tmp_path_factory.getbasetemp() / "job.json"
    job.save(wanted, path)
    assert job.load(path) == wanted
    assert job.load(path).fingerprint() == wanted.fingerprint()


@given(JOBS, st.text(min_size=1))
def test_the_fingerprint_tells_jobs_apart_but_not_their_output_folders(wanted, folder):
    assert job.with_output(wanted, folder).fingerprint() == wanted.fingerprint()
    stream = dataclasses.replace(wanted.source, stream=wanted.source.stream + 1)
    for change in ({"seed": wanted.seed ^ 1}, {"source": stream}):
        assert dataclasses.replace(wanted, **change).fingerprint() != wanted.fingerprint()


MOVIE = Source(kind="movie", path="clip.mov")


def test_the_fingerprint_tells_cuts_apart_but_not_how_they_are_written():
    prints = [Job(source=MOVIE, output="o", cuts=cuts).fingerprint() for cuts in ("auto", "none", "31", "31,77")]
    assert len(set(prints)) == 4
    assert Job(source=MOVIE, output="o").fingerprint() == prints[0]
    assert Job(source=MOVIE, output="o", cuts=" 31, 77").fingerprint() == prints[3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": dataclasses.replace(MOVIE, path="")}, "names no clip"),
        ({"output": ""}, "names no output folder"),
        ({"source": dataclasses.replace(MOVIE, files=("a.png",))}, "is a movie with a list of files"),
        ({"source": Source(kind="sequence", path="f")}, "has no files"),
        ({"source": Source(kind="sequence", path="f", files=("a.1.png", "a.3.png"))}, "Frame 2 is missing"),
        ({"source": Source(kind="sequence", path="f", files=("a.2.png", "a.1.png"))}, "not in frame order"),
        ({"output": "."}, "is the folder of the clip itself"),
        (
            {"source": Source(kind="sequence", path="f", files=("a.1.png",)), "output": "./f"},
            "is the folder of the clip",
        ),
        ({"source": Source(kind="sequence", path="f", files=("a1_9.png", "a3_7.png"))}, "More than one number varies"),
        ({"source": dataclasses.replace(MOVIE, stream=-1)}, r"stream must be at least 0, not -1"),
        (
            {"source": Source(kind="sequence", path="f", files=("a.1.png",), stream=1)},
            "is a sequence, which has no streams",
        ),
        ({"source": dataclasses.replace(MOVIE, rotation=45)}, "a rotation of 45 degrees"),
        ({"source": dataclasses.replace(MOVIE, width=0)}, "width must be at least 1"),
        ({"source": dataclasses.replace(MOVIE, fps=0.0)}, "fps must be at least 1e-06, not 0"),
        ({"first_frame": 5, "last_frame": 4}, "5-4 is empty"),
        ({"size": 63}, "at least 64"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"estimator": ""}, "no estimator"),
        ({"cuts": ""}, "is empty: list the first frames of new shots"),
        ({"cuts": "31-77"}, "auto, none or the first frames of new shots"),
        ({"cuts": "77,31"}, "31 follows 77"),
        ({"cuts": "31,31"}, "31 follows 31"),
        ({"cuts": "10,31", "first_frame": 10}, "begins with frame 10"),
        ({"cuts": "10,31", "last_frame": 30}, "no cut at frame 31: the last frame is 30"),
        ({"schema_version": 2}, "schema 2"),
    ],
)
def test_a_job_that_cannot_be_run_is_refused_in_one_sentence(changes, words):
    wanted = dataclasses.replace(Job(source=MOVIE, output="out"), **changes)
    with pytest.raises(JobError, match=words) as caught:
        job.validate(wanted)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"source": 1, "output": "o"}'])
def test_a_file_that_is_no_job(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(JobError, match=r"job\.json is not a job"):
        job.load(tmp_path / "job.json")


def test_a_job_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(JobError, match="cannot be read"):
        job.load(tmp_path / "none.json")
    (tmp_path / "job.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JobError, match="cannot be read"):
        job.load(tmp_path / "job.json")


def test_a_gap_outside_the_frames_that_are_asked_for_does_not_count():
    source = Source(kind="sequence", path="f", files=("a.1.png", "a.2.png", "a.4.png"))
    wanted = Job(source=source, output="out", first_frame=1, last_frame=2)
    assert job.validate(wanted) == wanted


def test_a_result_may_lie_in_a_folder_beside_or_below_the_clip(tmp_path):
    clip, link = tmp_path / "street", tmp_path / "link"
    clip.mkdir()
    link.symlink_to(clip)
    source = Source(kind="sequence", path=str(clip), files=("1.png",))
    for output in (clip / "v001", tmp_path / "depth"):
        job.validate(Job(source=source, output=str(output)))
    for output in (link, clip / ".." / "street", tmp_path / "street/"):
        with pytest.raises(JobError, match="is the folder of the clip itself"):
            job.validate(Job(source=source, output=str(output)))


def test_a_clip_is_the_same_whoever_names_it():
    source = Source(kind="sequence", path="f", files=("a.1.png",))
    shown = dataclasses.replace(source, width=64, height=48, fps=25.0)
    assert Job(source=source, output="a").fingerprint() == Job(source=shown, output="b").fingerprint()
    movie = dataclasses.replace(MOVIE, width=64, height=48)
    assert Job(source=MOVIE, output="a").fingerprint() == Job(source=movie, output="a").fingerprint()
    slower = dataclasses.replace(MOVIE, fps=12.0)
    assert Job(source=MOVIE, output="a").fingerprint() != Job(source=slower, output="a").fingerprint()


def test_names_that_are_no_utf_8_come_back(tmp_path):
    name = os.fsdecode(b"/shots/caf\xe9.mp4")
    wanted = Job(source=Source(kind="movie", path=name), output=os.fsdecode(b"/depth/d\xe9pth"))
    job.save(wanted, tmp_path / "job.json")
    assert job.load(tmp_path / "job.json") == wanted
    assert (tmp_path / "job.json").read_bytes().isascii()
    assert wanted.fingerprint() == job.load(tmp_path / "job.json").fingerprint()
