"""The depth group's outputs against numpy, on rendered pixels."""

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes, depth_group

SIZES = [((32, 18), (32, 18)), ((16, 9), (32, 18)), ((16, 9), (33, 19)), ((9, 15), (19, 31))]


def place(scene, depth, shot, **inputs):
    """The group as a node of the scene's tree."""
    tree = compositor_nodes.scene_tree(scene)
    node = nodes.new(tree, "CompositorNodeGroup")
    node.node_tree = depth_group(depth, shot)
    for name, value in inputs.items():
        nodes.input_of(node, name.replace("_", " ")).default_value = value
    return node


def output(scene, node, name, tmp_path, frame):
    compositor.show(scene, nodes.output_of(node, name))
    return compositor.render(scene, tmp_path, frame)[..., 0]


def disparity(frame, map_size, plate_size):
    values = depth_maker.slanted(frame, *map_size).astype(np.float32)
    return compositor.bilinear(values, plate_size)


@pytest.mark.parametrize(("map_size", "plate_size"), SIZES)
def test_inverse_depth(tmp_path, empty_file, map_size, plate_size):
    depth = depths.load(
        depth_maker.make(tmp_path, size=map_size, plate_size=plate_size, confidence=depth_maker.slanted),
        frame_offset=1000,
    )
    node = place(empty_file, depth, depth.sequence.shots[0], Scale=3.0, Far_Limit=2.5, Mist_Start=4.0, Mist_Depth=2.0)
    compositor.prepare(empty_file, plate_size)
    d = disparity(3, map_size, plate_size)
    z = 3.0 / np.maximum(d, 1 / 2.5)
    wanted = {
        "Z": z,
        "Disparity": d,
        "Mist": np.clip((z - 4.0) / 2.0, 0, 1),
        "Has Depth": np.ones_like(z),
        "Confidence": d,
    }
    assert {s.name for s in node.outputs} == set(wanted)
    assert (z < 7.4).any() and (z > 7.4999).any() and wanted["Mist"].max() > 0.5  # both formulas at work
    for name, values in wanted.items():
        np.testing.assert_allclose(output(empty_file, node, name, tmp_path, 1003), values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(("map_size", "plate_size"), SIZES[1:3])
def test_relative_disparity(tmp_path, empty_file, map_size, plate_size):
    folder = depth_maker.make(tmp_path, size=map_size, plate_size=plate_size, quantity="relative_disparity")
    depth = depths.load(folder)
    shot = depth.sequence.shots[0]
    node = place(empty_file, depth, shot, Near=2.0, Far=20.0, Near_Limit=2.2, Far_Limit=3.8)
    compositor.prepare(empty_file, plate_size)
    t = (disparity(2, map_size, plate_size) - shot.range.p1) / (shot.range.p99 - shot.range.p1)
    inverse = t * (1 / 2.0 - 1 / 20.0) + 1 / 20.0
    z = 1 / np.clip(inverse, 1 / 3.8, 1 / 2.2)
    assert (z < 2.2001).any() and (z > 3.799).any()
    np.testing.assert_allclose(output(empty_file, node, "Z", tmp_path, 2), z, rtol=1e-4)


def test_frames_follow_the_timeline_and_hold_at_the_ends(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(8, 5), frames=range(7, 12)), frame_offset=93)
    node = place(empty_file, depth, depth.sequence.shots[0])
    compositor.prepare(empty_file, (8, 5))
    for scene_frame, source in ((-50, 7), (99, 7), (100, 7), (101, 8), (102, 9), (104, 11), (105, 11), (5000, 11)):
        values = output(empty_file, node, "Disparity", tmp_path, scene_frame)
        np.testing.assert_allclose(values, disparity(source, (8, 5), (8, 5)), rtol=1e-6, err_msg=str(scene_frame))
    moved = depths.load(tmp_path / "depth", frame_offset=0)
    assert depth_group(moved, depth.sequence.shots[0], owner=empty_file) == node.node_tree
    values = output(empty_file, node, "Disparity", tmp_path, 9)
    np.testing.assert_allclose(values, disparity(9, (8, 5), (8, 5)), rtol=1e-6)


def test_a_clip_of_one_frame_is_held_everywhere(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(8, 5), frames=range(7, 8)))
    node = place(empty_file, depth, depth.sequence.shots[0])
    compositor.prepare(empty_file, (8, 5))
    for scene_frame in (1, 7, 30):
        values = output(empty_file, node, "Disparity", tmp_path, scene_frame)
        np.testing.assert_allclose(values, disparity(7, (8, 5), (8, 5)), rtol=1e-6)


def test_other_shots_have_no_depth_in_the_group_of_one(tmp_path, empty_file):
    shots = [(1, 2, "done"), (3, 4, "refused"), (5, 6, "done")]
    depth = depths.load(depth_maker.make(tmp_path, size=(8, 5), frames=range(1, 7), shots=shots))
    first, refused, last = depth.sequence.shots
    a, b = place(empty_file, depth, first), place(empty_file, depth, last)
    assert a.node_tree != b.node_tree
    compositor.prepare(empty_file, (8, 5))
    for frame in range(-1, 9):
        for node, shot in ((a, first), (b, last)):
            has = output(empty_file, node, "Has Depth", tmp_path, frame)
            assert np.all(has == (depth.shot_at(frame) == shot)), (frame, shot)
    limit = nodes.input_of(a, "Far Limit").default_value
    np.testing.assert_allclose(output(empty_file, a, "Z", tmp_path, 5), limit)
    for name in ("Mist", "Disparity"):
        assert np.all(output(empty_file, a, name, tmp_path, 5) == 0)
    with pytest.raises(depths.DepthError, match="stands still"):
        depth_group(depth, refused)


def test_built_once_and_what_the_artist_set_is_kept(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    shot = depth.sequence.shots[0]
    tree = depth_group(depth, shot)
    limit = next(i for i in tree.interface.items_tree if i.name == "Far Limit")
    limit.default_value = 77.0
    tree.name = "My depth"
    count = len(tree.nodes)
    assert depth_group(depths.load(depth.folder), shot) == tree
    assert (len(tree.nodes), limit.default_value, len(bpy.data.node_groups)) == (count, 77.0, 1)


@pytest.mark.parametrize("render_size", [(64, 36), (40, 40), (16, 9)])
def test_fits_a_render_of_another_size_as_the_plate_does(tmp_path, empty_file, render_size):
    """A plate that holds its own disparity, fitted by a Scale node as an artist does it, lies on the depth."""
    depth = depths.load(depth_maker.make(tmp_path, size=(16, 9), plate_size=(32, 18)))
    depth_maker.write_map(tmp_path / "plate.exr", disparity(2, (16, 9), (32, 18)))
    image = bpy.data.images.load(str(tmp_path / "plate.exr"))
    image.colorspace_settings.name = "Non-Color"
    node = place(empty_file, depth, depth.sequence.shots[0])
    tree = compositor_nodes.scene_tree(empty_file)
    source = nodes.new(tree, "CompositorNodeImage", image=image)
    scale = nodes.new(tree, "CompositorNodeScale")
    nodes.set_option(scale, "space", "RENDER_SIZE")
    nodes.set_option(scale, "frame_method", "FIT")
    nodes.feed(nodes.input_of(scale, "Image"), nodes.output_of(source, "Image"))
    compositor.prepare(empty_file, render_size)
    parts = nodes.new(tree, "CompositorNodeSeparateColor")
    nodes.feed(nodes.input_of(parts, "Image"), nodes.output_of(scale, "Image"))
    plate, alpha = nodes.output_of(parts, "Red"), nodes.output_of(parts, "Alpha")
    has = nodes.output_of(node, "Has Depth")
    whole = nodes.math(tree, "MULTIPLY", nodes.math(tree, "COMPARE", alpha, 1.0, 1e-3), has)
    difference = nodes.math(tree, "SUBTRACT", plate, nodes.output_of(node, "Disparity"))
    compositor.show(empty_file, nodes.math(tree, "MULTIPLY", difference, whole))
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 2)[..., 0], 0, atol=1e-4)
    rows = min(render_size[0] * 18 / 32, render_size[1])
    for socket, missing in ((has, 3), (whole, 4)):
        compositor.show(empty_file, socket)
        shown = (compositor.render(empty_file, tmp_path, 2)[..., 0] > 0.5).sum()
        assert abs(shown / render_size[0] - rows) < missing
