"""Fog against numpy, on rendered pixels."""

import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_fog, compositor_nodes

COLOR = np.array([0.6, 0.2, 0.9])


@pytest.mark.parametrize(("map_size", "plate_size"), [((32, 18), (32, 18)), ((16, 9), (32, 18)), ((16, 9), (33, 19))])
@pytest.mark.parametrize("share", [0.0, 1.0, 0.25])
def test_exponential_linear_and_between(tmp_path, empty_file, map_size, plate_size, share):
    depth = depths.load(depth_maker.make(tmp_path, size=map_size, plate_size=plate_size))
    node = add_fog(
        empty_file, depth, depth.sequence.shots[0], color=COLOR, density=0.7, start=2.5, end=4.0, linear=share
    )
    nodes.input_of(node, "Amount").default_value = 0.8
    limit = depths.distances(depth, depth.sequence.shots[0]).far_limit
    compositor.prepare(empty_file, plate_size)
    for frame, source in ((0, 1), (1, 1), (3, 3), (5, 5), (9, 5)):  # before, start, middle, end, after
        behind = np.maximum(compositor.distance(source, map_size, plate_size, limit) - 2.5, 0)
        fog = 0.8 * ((1 - share) * (1 - np.exp(-0.7 * behind)) + share * np.clip(behind / 1.5, 0, 1))
        wanted = compositor.plate(source, plate_size) * (1 - fog[..., None]) + COLOR * fog[..., None]
        pixels = compositor.render(empty_file, tmp_path, frame)
        np.testing.assert_allclose(pixels[..., :3], wanted, atol=3e-4, err_msg=str(frame))
        np.testing.assert_allclose(pixels[..., 3], 1, atol=1e-6)


def test_other_shots_pass_unchanged(tmp_path, empty_file):
    shots = [(1, 2, "done"), (3, 4, "refused"), (5, 6, "done")]
    depth = depths.load(depth_maker.make(tmp_path, size=(16, 9), frames=range(1, 7), shots=shots), frame_offset=10)
    first, _, last = depth.sequence.shots
    a = add_fog(empty_file, depth, first, color=(1, 0, 0), density=50, start=0)
    b = add_fog(empty_file, depth, last, color=(0, 1, 0), density=50, start=0)
    assert a != b
    compositor.prepare(empty_file, (16, 9))
    for frame in range(9, 19):
        pixels = compositor.render(empty_file, tmp_path, frame)[..., :3]
        shot = depth.shot_at(frame)
        wanted = {first: (1, 0, 0), last: (0, 1, 0)}.get(shot)
        if wanted is None:
            wanted = compositor.plate(frame - 10, (16, 9))
        np.testing.assert_allclose(pixels, np.broadcast_to(wanted, pixels.shape), atol=3e-4, err_msg=str(frame))


def test_the_second_time_nothing_is_doubled_and_what_was_tuned_is_kept(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    shot = depth.sequence.shots[0]
    node = add_fog(empty_file, depth, shot)
    tree = compositor_nodes.find_scene_tree(empty_file)
    nodes.input_of(node, "Density").default_value = 0.123
    nodes.input_of(node, "Start").default_value = 4.5
    before = (len(tree.nodes), len(tree.links))
    assert add_fog(empty_file, depths.load(depth.folder), shot, start=0.5) == node
    assert (len(tree.nodes), len(tree.links)) == before
    assert nodes.input_of(node, "Density").default_value == pytest.approx(0.123)
    assert nodes.input_of(node, "Start").default_value == 0.5


@pytest.mark.parametrize(("height", "up"), [(0.6, (0.0, 1.0, 0.0)), (2.5, (0.1, 0.9, 0.42)), (-0.5, (0.0, 0.8, -0.6))])
def test_ground_fog_is_the_fog_on_the_way(tmp_path, empty_file, height, up):
    """Against the sum over many steps of each ray, of a camera above the fog and in it, level and tilted."""
    size = (32, 18)
    depth = depths.load(depth_maker.make(tmp_path, size=size, frames=range(1, 2)))
    shot = depth.sequence.shots[0]
    node = add_fog(
        empty_file, depth, shot, color=COLOR, density=0.9, start=1.0, by_height=1.0, base_height=0.1, height_falloff=0.4
    )
    up = np.array(up) / np.linalg.norm(up)
    nodes.input_of(node, "Camera Height").default_value = height
    nodes.input_of(node, "Up").default_value = up
    compositor.prepare(empty_file, size)
    z = compositor.distance(1, size, size, depths.distances(depth, shot).far_limit)
    x = ((np.arange(size[0]) + 0.5) / size[0] - 0.5) * 36 / 50
    y = (0.5 - (np.arange(size[1]) + 0.5) / size[1])[:, None] * size[1] / size[0] * 36 / 50
    slope = x * up[0] + y * up[1] - up[2]
    at = (np.arange(400) + 0.5)[:, None, None] / 400 * (z - 1.0) + 1.0
    density = np.exp(-np.maximum((height + slope * at - 0.1) / 0.4, 0))
    wanted = 1 - np.exp(-0.9 * density.mean(0) * (z - 1.0))
    assert 0.02 < wanted.mean() < 0.98
    compositor.show(empty_file, nodes.output_of(node, "Fog"))
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 1)[..., 0], wanted, atol=3e-3)


def test_a_camera_that_is_built_tells_the_heights(tmp_path, empty_file):
    def path(frames):
        return depth_maker.dolly(frames, width=24, height=16, focal_length=30.0)

    depth = depths.load(depth_maker.make(tmp_path, camera=path))
    shot = depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location, rig.rotation_euler, rig["Scale"] = (3, 2, 1.5), (0.3, 0.1, 1.0), 2.0
    empty_file.render.resolution_x, empty_file.render.resolution_y = 24, 16
    node = add_fog(empty_file, depth, shot)
    empty_file.frame_set(4)
    matrix = camera.matrix_world
    assert nodes.input_of(node, "Camera Height").default_value == pytest.approx(matrix.translation.z, abs=1e-5)
    np.testing.assert_allclose(nodes.input_of(node, "Up").default_value, matrix.normalized().to_3x3()[2], atol=1e-5)
    lens, sensor = (nodes.input_of(node, name).default_value for name in ("Focal Length", "Sensor Width"))
    assert lens / sensor * 24 == pytest.approx(30.0, rel=1e-4)
