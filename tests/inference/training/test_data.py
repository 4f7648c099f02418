"""The list of clips, and the check of each."""

import json
import shutil

import cv2
import numpy as np
import pytest

from inference.common.failures import Failure
from inference.training import data
from tests.inference.support import training_clips


def test_a_list_of_clips_is_read(clips_file):
    found = data.load(clips_file)
    assert found.name == "squares" and found.license.title == "For tests"
    (train,), (held,) = found.train, found.held
    assert train.folder == str(clips_file.parent) and held.only == ("clip-3",)
    clips = data.opened(train)
    assert [clip.name for clip in clips] == [f"squares, clip-{index}" for index in range(3)]
    assert not clips[0].is_far and len(clips[0]) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "not a list of clips but list"),
        ("name: [", "cannot be read as YAML"),
        ("{name: a, train: []}", "names no clips to train on"),
        ("{name: a, train: [{name: b, folder: c, layout: d}]}", "unknown layout 'd'"),
        ("{name: a, train: [{name: b, folder: c, unknown: deep}]}", "unknown"),
        ("{name: a, train: [{name: b, folder: c}, {name: b, folder: d}]}", "Two sets are called b"),
        ("{name: a, train: [{name: b, folder: c, colour: d}]}", "colour"),
        ("{name: &a b, train: [{name: *a, folder: c}]}", "alias"),
    ],
)
def test_other_lists_are_declined_in_a_sentence(tmp_path, text, said):
    (tmp_path / "clips.yaml").write_text(text)
    with pytest.raises(Failure, match=said):
        data.load(tmp_path / "clips.yaml")


def test_a_missing_list_and_a_missing_clip_are_named(tmp_path, clips_file):
    with pytest.raises(Failure, match=r"nowhere\.yaml cannot be read"):
        data.load(tmp_path / "nowhere.yaml")
    with pytest.raises(Failure, match=r"has no clip ghost.*clip-0, clip-1"):
        data.opened(data.Set(name="s", folder=str(clips_file.parent), only=("ghost",)))


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A set of five clips, all but the first of which cannot be trained on."""
    folder = tmp_path_factory.mktemp("bad")
    for name in ("a-good", "b-short", "c-torn", "d-flat", "e-small"):
        training_clips.write_clip(folder / name, frames=2 if name == "b-short" else 4)
    torn = folder / "c-torn" / "depth" / "00002.png"
    torn.write_bytes(torn.read_bytes()[:60])
    for file in (folder / "d-flat" / "depth").glob("*.png"):
        cv2.imwrite(str(file), np.full((64, 64), 2000, np.uint16))
    image = cv2.imread(str(folder / "e-small" / "rgb" / "00003.png"))
    cv2.imwrite(str(folder / "e-small" / "rgb" / "00003.png"), image[:32])
    return folder


def test_bad_clips_are_skipped_with_the_reason(bad):
    listed = data.Data(name="x", train=(data.Set(name="bad", folder=str(bad), repeat=2),))
    found = {report.clip: (report, clip, times) for report, clip, times in data.checked(listed, shortest=3)}
    reasons = {name: report.problem for name, (report, _, _) in found.items()}
    assert reasons["bad, a-good"] == "" and found["bad, a-good"][2] == 2 and found["bad, a-good"][1] is not None
    assert "2 frames" in reasons["bad, b-short"] and "shortest sequence has 3" in reasons["bad, b-short"]
    assert "frame 2 cannot be read" in reasons["bad, c-torn"]
    assert "same everywhere" in reasons["bad, d-flat"]
    assert "64x32" in reasons["bad, e-small"]
    assert all(clip is None for report, clip, _ in found.values() if report.problem)
    report = found["bad, a-good"][0]
    assert report.frames == 4 and report.size == (64, 64) and 0.8 <= report.nearest < report.farthest == 4
    assert report.unknown == 0


def test_a_thorough_check_reads_every_frame(tmp_path):
    training_clips.write_clip(tmp_path / "clip", frames=6)
    torn = tmp_path / "clip" / "depth" / "00001.png"
    torn.write_bytes(torn.read_bytes()[:60])
    (clip,) = data.opened(data.Set(name="s", folder=str(tmp_path / "clip")))
    assert not data.examined(clip, shortest=1, thorough=False).problem
    assert "frame 1 cannot be read" in data.examined(clip, shortest=1, thorough=True).problem


def test_a_clip_without_images_is_skipped(tmp_path):
    training_clips.write_clip(tmp_path / "clip")
    shutil.rmtree(tmp_path / "clip" / "rgb")
    (clip,) = data.opened(data.Set(name="s", folder=str(tmp_path / "clip")))
    assert data.examined(clip, shortest=1, thorough=False).problem == "it has no images"


def test_the_list_is_plain_yaml(tmp_path, clips_file):
    listed = json.loads(clips_file.read_text())
    text = (
        f"name: {listed['name']}\nlicense: {{title: For tests}}\ntrain:\n  - name: s\n    folder: {clips_file.parent}\n"
    )
    (tmp_path / "clips.yaml").write_text(text)
    assert len(data.opened(data.load(tmp_path / "clips.yaml").train[0])) == 4
