"""Clips to train on: scenes by chance, the same by the same number."""

import json

import bpy
import numpy as np
import pytest
from mathutils import Vector

from development.benchmark_scenes import images, random_scene, training

pytestmark = pytest.mark.skipif(
    bpy.app.version[:2] != (5, 0), reason="clips are rendered with one Blender, which is 5.0"
)
SMALL = {"frames": 2, "size": (48, 32), "samples": 1, "threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    for number in (3, 4):
        training.rendered(number, folder, **SMALL)
    training.write_list(folder)
    return folder


@pytest.mark.slow
def test_a_clip_is_in_the_layout_folder_without_what_training_does_not_need(folder):
    assert {path.name for path in (folder / "clip-00003").iterdir()} == {
        "camera.json",
        "depth",
        "dynamic",
        "fingerprint.txt",
        "rgb",
    }
    camera = json.loads((folder / "clip-00003" / "camera.json").read_text())
    assert (camera["width"], camera["height"], len(camera["frames"])) == (48, 32, 2)
    depth, other = (images.read_gray16(folder / name / "depth" / "00001.png") for name in ("clip-00003", "clip-00004"))
    assert depth.shape == (32, 48) and depth[depth > 0].min() > 300 and depth.max() < 65_000
    assert images.read_png(folder / "clip-00003" / "rgb" / "00001.png").std() > 5
    assert not np.array_equal(depth, other)


def test_a_rendered_clip_is_kept_and_the_same_again_elsewhere(folder, tmp_path):
    file = folder / "clip-00003" / "rgb" / "00002.png"
    before = file.stat().st_mtime_ns
    training.rendered(3, folder, **SMALL)
    assert file.stat().st_mtime_ns == before
    again = training.rendered(3, tmp_path, **SMALL)
    for path in (folder / "clip-00003").rglob("*.png"):
        assert (again / path.relative_to(folder / "clip-00003")).read_bytes() == path.read_bytes()


def test_the_list_names_all_clips_and_holds_one_back(folder):
    text = (folder / "clips.yaml").read_text()
    assert "only: [clip-00003]" in text and "only: [clip-00004]" in text
    assert text.index("train:") < text.index("held:")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_scenes_keep_their_distance(seed):
    """Nothing is nearer to the camera than 0.3 m, or farther than 16 bits of millimeters hold."""
    scene = random_scene.of(seed)(frames=3)
    graph = bpy.context.evaluated_depsgraph_get()
    for frame in (1, 2, 3):
        scene.frame_set(frame)
        eye = scene.camera.matrix_world.translation
        ahead = scene.camera.matrix_world.to_quaternion()
        for x, y in ((0, 0), (-0.4, 0.2), (0.4, -0.2), (0.3, 0.2), (-0.3, -0.2)):
            hit, place, *_ = scene.ray_cast(graph, eye, ahead @ Vector((x, y, -1)).normalized())
            assert not hit or 0.3 < (place - eye).length < 65
