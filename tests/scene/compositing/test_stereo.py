"""A left and a right image of two surfaces whose shifts are whole pixels, on rendered pixels."""

import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_stereo, compositor_nodes

pytestmark = pytest.mark.skipif(not compositor_nodes.is_deep(), reason="from Blender 4.5 on")

SIZE = (96, 24)
NEAR, FAR, SHIFT = 2.0, 8.0, 6
"""Distances of a square and of what is behind it, and the pixels by which the square moves against that."""

LEFT, RIGHT = 36, 60
"""Columns of the square."""


def two_planes(frame, width, height):
    d = np.full((height, width), 1 / FAR)
    d[:, LEFT:RIGHT] = 1 / NEAR
    return d


def picture(frame, width, height):
    """The square red, what is behind it a soft pattern of green and blue."""
    x = np.arange(width)
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.round(120 + 80 * np.sin(x / 3.0))
    image[..., 2] = 90
    image[:, LEFT:RIGHT] = (220, 20, 20)
    return image


@pytest.mark.parametrize(("side", "way"), [("Right", -1), ("Left", 1)])
@pytest.mark.parametrize("convergence", [FAR, 4.0])
def test_each_surface_moves_by_its_parallax_and_holes_get_the_background(tmp_path, empty_file, side, way, convergence):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2), disparity=two_planes, image=picture))
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    lens = 50 / 36 * SIZE[0]
    eyes = 2 * SHIFT / (lens * (1 / NEAR - 1 / FAR))
    node = add_stereo(empty_file, depth, shot, eye_distance=eyes, convergence=convergence)
    compositor.show(empty_file, nodes.output_of(node, side))
    found = compositor.render(empty_file, tmp_path, 1)[12, :, :3]
    compositor.show(empty_file, nodes.output_of(node, f"{side} Filled"))
    filled = compositor.render(empty_file, tmp_path, 1)[12, :, 0]
    plate = compositor.linear(picture(1, *SIZE) / 255)[12]
    back = round(way * eyes / 2 * lens * (1 / FAR - 1 / convergence))  # of the background
    front = back + way * SHIFT
    red = slice(LEFT + front + 1, RIGHT + front - 1)
    np.testing.assert_allclose(found[red], plate[LEFT + 1 : RIGHT - 1], atol=0.02)
    hole = slice(RIGHT + front, RIGHT + back) if way < 0 else slice(LEFT + back, LEFT + front)
    assert hole.stop - hole.start == SHIFT
    assert filled[hole][1:-1].min() > 0.9 and filled[: LEFT - 16].max() < 0.1 and filled[RIGHT + 16 :].max() < 0.1
    assert found[hole][1:-1, 0].max() < 0.3, "nothing of the square fills it"
    assert found[hole][1:-1, 2].min() > 0.5 * plate[0, 2]
    for part in (slice(8, LEFT - 16), slice(RIGHT + 16, SIZE[0] - 8)):
        there = plate[part.start - back : part.stop - back]
        np.testing.assert_allclose(found[part], there, atol=0.03)


@pytest.mark.parametrize("posts", [1, 2])
def test_a_wide_hole_gets_the_background_mirrored_and_nothing_in_front(tmp_path, empty_file, posts):
    hidden, second = 16, slice(RIGHT + 8, RIGHT + 20)

    def distances(frame, width, height):
        d = two_planes(frame, width, height)
        d[:, second] = 1 / NEAR if posts == 2 else 1 / FAR
        return d

    def ramp(frame, width, height):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 1] = 40 + 2 * np.arange(width)
        for part in (slice(LEFT, RIGHT), second)[:posts]:
            image[:, part] = (220, 20, 20)
        return image

    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2), disparity=distances, image=ramp))
    compositor.prepare(empty_file, SIZE)
    eyes = 2 * hidden / (50 / 36 * SIZE[0] * (1 / NEAR - 1 / FAR))
    node = add_stereo(empty_file, depth, depth.sequence.shots[0], eye_distance=eyes, convergence=FAR)
    compositor.show(empty_file, nodes.output_of(node, "Right"))
    found = compositor.render(empty_file, tmp_path, 1)[12, RIGHT - hidden : RIGHT, :3]
    if posts == 2:  # the second one covers the hole's right half, and is what would be mirrored in its left one
        found = found[: hidden // 2]
    assert found[1:-1, 0].max() < 0.1
    mirrored = compositor.linear(ramp(1, *SIZE)[12, RIGHT : RIGHT + hidden + 4, 1] / 255)[::-1]
    if posts == 1:
        errors = [np.abs(found[:, 1] - mirrored[at : at + hidden]).max() for at in range(5)]
        assert min(errors) < 0.02, errors


def test_frames_without_depth_pass_unchanged_and_nothing_is_doubled(tmp_path, empty_file):
    shots = [(1, 1, "done"), (2, 2, "refused")]
    depth = depths.load(
        depth_maker.make(tmp_path, size=SIZE, frames=range(1, 3), shots=shots, disparity=two_planes, image=picture)
    )
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    node = add_stereo(empty_file, depth, shot)
    count = len(node.id_data.nodes)
    assert add_stereo(empty_file, depth, shot, convergence=5.0) == node
    assert len(node.id_data.nodes) == count
    compositor.show(empty_file, nodes.output_of(node, "Right"))
    found = compositor.render(empty_file, tmp_path, 2)[..., :3]
    np.testing.assert_allclose(found, compositor.linear(picture(2, *SIZE) / 255), atol=2e-3)
