"""A ``depth.json`` as the estimator stereodiff has written it: its camera, of no tidy path, becomes Blender's."""

import itertools
import json
from pathlib import Path

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

RECORDED = Path(__file__).with_name("stereodiff_depth.json")
"""From a run with networks of made-up weights, whose camera turns and leaps."""
WIDTH, HEIGHT = 640, 480


@pytest.fixture
def folder(tmp_path, empty_file):
    """The recorded sidecar beside maps of its frames, and its plate."""
    facts = json.loads(RECORDED.read_text())
    frames = range(facts["first_frame"], facts["last_frame"] + 1)
    made = depth_maker.make(
        tmp_path,
        size=(facts["width"], facts["height"]),
        plate_size=(WIDTH, HEIGHT),
        frames=frames,
        confidence=lambda frame, width, height: np.full((height, width), 0.5),
    )
    (made / depth_sequence.SIDECAR).write_text(RECORDED.read_text())
    return made


def test_it_is_what_the_estimator_writes(folder):
    sequence = depth_sequence.load(folder)
    assert (sequence.estimator, sequence.quantity) == ("stereodiff", "inverse_depth")
    camera = sequence.shots[0].camera
    assert (camera.width, camera.height, len(camera.poses)) == (WIDTH, HEIGHT, 5)


def test_the_camera_is_built_with_its_path(folder, empty_file):
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_camera()
    scene = empty_file
    depth = depths.load(folder)
    shot = depth.sequence.shots[0]
    (camera,) = (found for found in scene.objects if found.type == "CAMERA")
    rig = cameras.find_rig(depth, shot, scene)
    contract = shot.camera
    cameras.fit_render_size(scene, depth)
    assert camera.data.lens / camera.data.sensor_width == pytest.approx(contract.focal_length / WIDTH, rel=1e-5)
    places = []
    for pose in contract.poses:
        scene.frame_set(pose.frame)
        places.append(camera.matrix_world.translation.copy())
        matrix = np.array(pose.camera_to_world)
        for x, y, z in ((0.0, 0.0, 2.0), (0.5, -0.4, 3.0), (-0.7, 0.3, 1.5)):
            world = matrix @ [x, y, z, 1.0]
            expected = (
                contract.focal_length * x / z + contract.principal_point[0],
                contract.focal_length * y / z + contract.principal_point[1],
            )
            seen = world_to_camera_view(scene, camera, rig.matrix_world @ Vector((world[0], world[2], -world[1])))
            assert np.allclose((seen.x * WIDTH - 0.5, (1 - seen.y) * HEIGHT - 0.5), expected, atol=0.02)
            assert seen.z == pytest.approx(z, rel=1e-4)
    assert all((one - other).length > 0.01 for one, other in itertools.pairwise(places))
