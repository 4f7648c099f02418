"""A subject isolated by a matte, on rendered pixels."""

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_isolate
from bl_ext.dev.fathom.scene.problems import Problem

SIZE = (48, 32)


def subject(frame, width, height):
    """White in a rectangle that moves with the frame."""
    image = np.zeros((height, width, 3), np.uint8)
    image[8:24, 10 + 4 * frame : 26 + 4 * frame] = 255
    return image


def test_the_subject_the_rest_and_what_fills_its_place(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 4)), frame_offset=10)
    for frame in range(1, 4):
        depth_maker.write_png(tmp_path / f"matte.{frame:04d}.png", subject(frame, *SIZE))
    matte = bpy.data.images.load(str(tmp_path / "matte.0001.png"))
    matte.source = "SEQUENCE"
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    node = add_isolate(empty_file, depth, shot, matte=matte)
    assert add_isolate(empty_file, depth, shot) == node
    wanted = subject(2, *SIZE)[..., :1] / 255
    plate = compositor.plate(2, SIZE)
    for name, image in (("Image", plate * wanted), ("Background", plate * (1 - wanted))):
        compositor.show(empty_file, nodes.output_of(node, name))
        found = compositor.render(empty_file, tmp_path, 12)
        np.testing.assert_allclose(found[..., :3], image, atol=2e-3, err_msg=name)
    compositor.show(empty_file, nodes.output_of(node, "Filled"))
    found = compositor.render(empty_file, tmp_path, 12)
    np.testing.assert_allclose(found[..., :3] * (1 - wanted), plate * (1 - wanted), atol=2e-3)
    inside = found[wanted[..., 0] > 0]
    assert inside[:, :3].min() > plate.min() * 0.8 and inside[:, :3].max() < plate.max() * 1.2
    np.testing.assert_allclose(found[..., 3], 1, atol=1e-4)


def test_it_counts_within_the_distance_only(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2)))
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    node = add_isolate(empty_file, depth, shot)
    z = compositor.distance(1, SIZE, SIZE, depths.distances(depth, shot).far_limit)
    near, far = np.percentile(z, (30, 70))
    for name, value in {"Nearest": near, "Farthest": far, "Softness": 0.2}.items():
        nodes.input_of(node, name).default_value = value
    wanted = np.clip(np.minimum((z - near) / 0.2 + 1, (far - z) / 0.2 + 1), 0, 1)
    compositor.show(empty_file, nodes.output_of(node, "Matte"))
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 1)[..., 0], wanted, atol=5e-3)


def test_tiles_are_no_matte(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE))
    image = bpy.data.images.new("v", 4, 4)
    image.source = "TILED"
    with pytest.raises(Problem, match="cannot be a matte"):
        add_isolate(empty_file, depth, depth.sequence.shots[0], matte=image)
