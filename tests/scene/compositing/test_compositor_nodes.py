"""The compositor's version differences, each on the Blender that runs the test."""

import bpy
import compositor
import numpy as np
import OpenEXR
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes


def test_compositor_tree_is_made_once_and_empty(empty_file):
    assert compositor_nodes.find_scene_tree(empty_file) is None
    tree = compositor_nodes.scene_tree(empty_file)
    assert len(tree.nodes) == 0
    assert compositor_nodes.find_result(tree) is None
    output = compositor_nodes.result(tree)
    assert output.type == "RGBA"
    assert compositor_nodes.result(tree) == compositor_nodes.find_result(tree) == output
    assert compositor_nodes.scene_tree(empty_file) == compositor_nodes.find_scene_tree(empty_file) == tree
    assert len(tree.nodes) == 1


def test_mix_color_takes_its_three_inputs(empty_file):
    tree = bpy.data.node_groups.new("tree", "CompositorNodeTree")
    out = compositor_nodes.mix_color(tree, 0.25, (1, 0, 0, 1), (0, 1, 0, 1))
    values = [s.default_value for s in out.node.inputs if s.enabled]
    assert values[0] == 0.25
    assert [tuple(v) for v in values[1:]] == [(1, 0, 0, 1), (0, 1, 0, 1)]


def image(tree, values, tmp_path, name):
    """An Image node of an image [H, W, 4], premultiplied, as scene linear."""
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    channels = {c: np.ascontiguousarray(values[..., i], np.float32) for i, c in enumerate("RGBA")}
    OpenEXR.File(header, channels).write(str(tmp_path / name))
    image = bpy.data.images.load(str(tmp_path / name))
    image.colorspace_settings.name = "Non-Color"
    return nodes.output_of(nodes.new(tree, "CompositorNodeImage", image=image), "Image")


def test_compositor_helpers_do_the_same_in_every_version(tmp_path, empty_file):
    tree = compositor_nodes.scene_tree(empty_file)
    random = np.random.default_rng(3).random((5, 6, 4)).astype(np.float32)
    other = np.random.default_rng(4).random((5, 6, 4)).astype(np.float32)
    a, b = image(tree, random, tmp_path, "a.exr"), image(tree, other, tmp_path, "b.exr")
    padded = np.pad(random, [(1, 1), (1, 1), (0, 0)], mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    wanted = {
        compositor_nodes.mix_images(tree, 0.3, a, b): random * 0.7 + other * 0.3,
        compositor_nodes.set_alpha(tree, a, 0.5, mode="APPLY"): random * 0.5,
        compositor_nodes.set_alpha(tree, a, 0.5, mode="REPLACE_ALPHA"): np.dstack(
            [random[..., :3], np.full((5, 6), 0.5)]
        ),
        compositor_nodes.add_color(tree, a, b): np.dstack([random[..., :3] + other[..., :3], random[..., 3]]),
        compositor_nodes.soften(tree, a): (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4,
    }
    compositor.prepare(empty_file, (6, 5))
    for socket, values in wanted.items():
        compositor.show(empty_file, socket)
        np.testing.assert_allclose(compositor.render(empty_file, tmp_path), values, atol=1e-5, err_msg=str(socket))
    mixed = compositor_nodes.mix_color(tree, 0.3, a, b)
    compositor.show(empty_file, mixed)
    found = compositor.render(empty_file, tmp_path)[..., :3]
    np.testing.assert_allclose(found, wanted[next(iter(wanted))][..., :3], atol=1e-5)
