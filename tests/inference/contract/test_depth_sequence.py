"""The folder that an estimate leaves behind."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import depth_sequence
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, DepthSequenceError, Range, Shot, Weights
from inference.contract.job import Source

IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def _sequence(path: str = "/plates/clip.mov", **changes) -> DepthSequence:
    camera = Camera(
        width=64,
        height=48,
        focal_length=50.0,
        principal_point=(31.5, 23.5),
        poses=tuple(Pose(frame=frame, camera_to_world=IDENTITY) for frame in range(1, 11)),
    )
    spread = Range(minimum=0.0, maximum=2.0, p1=0.1, p99=1.9)
    shots = (
        Shot(first_frame=1, last_frame=10, status="done", range=spread, camera=camera),
        Shot(first_frame=11, last_frame=12, status="refused", reason="Too short."),
        Shot(first_frame=13, last_frame=30, status="done", range=spread),
    )
    values = {
        "source": Source(kind="movie", path=path),
        "first_frame": 1,
        "last_frame": 30,
        "width": 64,
        "height": 48,
        "quantity": "inverse_depth",
        "shots": shots,
        "estimator": "parallax",
        "fingerprint": "f",
        "weights": (Weights(repository="r", revision="v", file="f", sha256="s", licence="l"),),
    }
    return DepthSequence(**{**values, **changes})


@given(
    st.dictionaries(st.text(), st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | st.text(), max_size=3),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.floats(0, 1e12),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4).map(sorted),
)
def test_what_is_saved_is_loaded(tmp_path_factory, parameters, versions, seconds, spread):
    folder = tmp_path_factory.getbasetemp()
    spread = Range(minimum=spread[0], p1=spread[1], p99=spread[2], maximum=spread[3])
    shot = Shot(first_frame=1, last_frame=2, status="done", range=spread)
    saved = _sequence(parameters=parameters, versions=versions, seconds=seconds, shots=(shot,))
    depth_sequence.save(saved, folder)
    assert depth_sequence.load(folder) == saved
    assert depth_sequence.load(folder / "depth.json") == saved


def test_plate_and_depth_can_move_together(tmp_path):
    (tmp_path / "project" / "depth").mkdir(parents=True)
    depth_sequence.save(_sequence(str(tmp_path / "project" / "clip.mov")), tmp_path / "project" / "depth")
    written = json.loads((tmp_path / "project" / "depth" / "depth.json").read_text())
    assert written["source"]["path"] == "../clip.mov"
    shutil.move(tmp_path / "project", tmp_path / "elsewhere")
    found = depth_sequence.load(tmp_path / "elsewhere" / "depth")
    assert found.source.path == str(tmp_path / "elsewhere" / "clip.mov")


def test_the_plate_is_found_through_a_link_to_the_folder(tmp_path):
    (tmp_path / "store" / "depth" / "v001").mkdir(parents=True)
    clip = tmp_path / "store" / "clip.mov"
    clip.write_bytes(b"")
    depth_sequence.save(_sequence(str(clip)), tmp_path / "store" / "depth" / "v001")
    (tmp_path / "link").symlink_to(tmp_path / "store" / "depth" / "v001")
    assert depth_sequence.load(tmp_path / "link").source.path == str(clip)
    clip.unlink()  # gone: the sentence that says so names the place that the link suggests
    assert depth_sequence.load(tmp_path / "link").source.path == str(tmp_path.parent / "clip.mov")


def test_the_sidecar_is_written_in_one_step(tmp_path, monkeypatch):
    depth_sequence.save(_sequence(), tmp_path)
    before = (tmp_path / "depth.json").read_text()

    def refuse(source, target):
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="gone"):
        depth_sequence.save(_sequence(fingerprint="other"), tmp_path)
    assert (tmp_path / "depth.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["depth.json"]


def test_a_folder_without_it_is_unfinished(tmp_path):
    with pytest.raises(DepthSequenceError, match=r"contains no depth\.json, so it is not a depth sequence"):
        depth_sequence.load(tmp_path)
    (tmp_path / depth_sequence.SCRATCH).mkdir()
    (tmp_path / depth_sequence.SCRATCH / depth_sequence.STATE).write_text('{"fingerprint": "abc"}')
    with pytest.raises(DepthSequenceError, match="its estimate is unfinished; estimate again"):
        depth_sequence.load(tmp_path)


def test_a_folder_that_is_gone_is_not_called_unfinished(tmp_path):
    for place in (tmp_path / "moved" / "v001", tmp_path / "moved" / "v001" / "depth.json"):
        with pytest.raises(DepthSequenceError, match=r"v001 does not exist: it was moved, renamed or deleted"):
            depth_sequence.load(place)


WINDOWS = [
    "D:/plates/shot.mov",
    "D:\\plates\\shot.mov",
    "//server/plates/shot.mov",
    "\\\\server\\plates\\shot.mov",
    "\\plates\\shot.mov",
]


@pytest.mark.skipif(os.name == "nt", reason="those are paths of this system there")
@pytest.mark.parametrize("written", WINDOWS)
def test_an_absolute_path_of_windows_stays_as_it_is_written(tmp_path, monkeypatch, written):
    depth_sequence.save(_sequence(written), tmp_path)
    assert json.loads((tmp_path / "depth.json").read_text())["source"]["path"] == written
    looked_at = []
    monkeypatch.setattr(Path, "exists", lambda self: looked_at.append(str(self)) or False)
    found = depth_sequence.load(tmp_path)
    assert found.source.path == written and not looked_at
    assert depth_sequence.is_foreign(written) and depth_sequence.pure_path(written).stem == "shot"


@pytest.mark.skipif(os.name == "nt", reason="backslashes part folders there in any case")
def test_backslashes_part_folders_where_that_leads_to_the_plate(tmp_path):
    (tmp_path / "depth" / "v001").mkdir(parents=True)
    (tmp_path / "plates").mkdir()
    written = "..\\..\\plates\\shot.mov"
    depth_sequence.save(_sequence(written), tmp_path / "depth" / "v001")
    sidecar = tmp_path / "depth" / "v001" / "depth.json"
    assert depth_sequence.load(sidecar).source.path == written  # missing: named as it is written
    (tmp_path / "plates" / "shot.mov").write_bytes(b"")
    assert depth_sequence.load(sidecar).source.path == str(tmp_path / "plates" / "shot.mov")
    odd = tmp_path / "depth" / "v001" / written
    odd.write_bytes(b"")  # a name that is one here
    assert depth_sequence.load(sidecar).source.path == str(odd)


@pytest.mark.parametrize("path", ["/shots/shot.mov", "../shot.mov", "shot.mov", "d:shot.mov"])
def test_paths_of_this_system_are_no_foreign_ones(path):
    assert os.name == "nt" or not depth_sequence.is_foreign(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"source": {}}'])
def test_a_broken_sidecar_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "depth.json").write_bytes(content)
    with pytest.raises(DepthSequenceError, match=r"depth\.json"):
        depth_sequence.load(tmp_path)


def test_fields_of_a_newer_version_are_passed_over_but_not_its_schema(tmp_path):
    depth_sequence.save(_sequence(), tmp_path)
    data = json.loads((tmp_path / "depth.json").read_text())
    (tmp_path / "depth.json").write_text(json.dumps({**data, "news": 1}))
    assert depth_sequence.load(tmp_path) == _sequence()
    (tmp_path / "depth.json").write_text(json.dumps({**data, "schema_version": 99}))
    with pytest.raises(DepthSequenceError, match="newer Fathom"):
        depth_sequence.load(tmp_path)


def test_a_shot_may_have_a_quantity_and_estimators_of_its_own(tmp_path):
    first, refused, last = _sequence().shots
    learned = dataclasses.replace(last, quantity="relative_disparity", estimators=("quick",), reason="No parallax.")
    depth_sequence.save(_sequence(shots=(first, refused, learned)), tmp_path)
    found = depth_sequence.load(tmp_path)
    assert found.shots[2] == learned
    assert [found.quantity_of(shot) for shot in found.done_shots] == ["inverse_depth", "relative_disparity"]


def test_a_file_of_the_first_version_has_one_quantity_for_all_shots(tmp_path):
    depth_sequence.save(_sequence(), tmp_path)
    data = json.loads((tmp_path / "depth.json").read_text())
    data["schema_version"] = 1
    for shot in data["shots"]:
        del shot["quantity"], shot["estimators"]
    (tmp_path / "depth.json").write_text(json.dumps(data))
    found = depth_sequence.load(tmp_path)
    assert found.shots == _sequence().shots and found.schema_version == 1
    assert {found.quantity_of(shot) for shot in found.shots} == {"inverse_depth"}


@pytest.mark.parametrize(
    ("frame", "first"), [(-5, 1), (1, 1), (10, 1), (11, 11), (12, 11), (13, 13), (30, 13), (99, 13)]
)
def test_every_frame_has_its_shot_also_beyond_the_ends(frame, first):
    assert _sequence().shot_at(frame).first_frame == first


def test_done_shots_are_those_with_maps():
    assert [shot.first_frame for shot in _sequence().done_shots] == [1, 13]
    assert dataclasses.replace(_sequence(), shots=()).done_shots == ()


@given(st.integers(0, 10**6))
def test_file_names_carry_the_frame_number(number):
    from inference.contract.numbering import frame_number

    assert frame_number(depth_sequence.disparity_name(number)) == number
    assert frame_number(depth_sequence.confidence_name(number)) == number
