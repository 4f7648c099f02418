"""Z Combine against numpy, on rendered pixels: of images with known alpha, and of a scene that Cycles renders."""

import bpy
import compositor
import depth_maker
import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_fog, add_z_combine, compositor_nodes
from bl_ext.dev.fathom.scene.problems import Problem

RED = (0.8, 0.1, 0.05)


@pytest.mark.parametrize(("map_size", "plate_size"), [((48, 32), (48, 32)), ((24, 16), (48, 32)), ((24, 16), (49, 33))])
def test_a_rendered_card_cuts_the_plate_where_it_is_nearer(tmp_path, empty_file, map_size, plate_size):
    depth = depths.load(depth_maker.make(tmp_path, size=map_size, plate_size=plate_size))
    shot = depth.sequence.shots[0]
    compositor.add_card(empty_file, distance=2.6, color=RED)
    node = add_z_combine(empty_file, depth, shot)
    assert empty_file.view_layers[0].use_pass_z and empty_file.render.film_transparent
    compositor.prepare(empty_file, plate_size)
    z = compositor.distance(2, map_size, plate_size, depths.distances(depth, shot).far_limit)
    left = np.broadcast_to(np.arange(plate_size[0]) + 0.5 < plate_size[0] / 2, z.shape)
    nearer = left & (z > 2.6)
    assert 0.1 < nearer.mean() < 0.4
    plate = compositor.plate(2, plate_size)
    alpha = left.astype(float)
    wanted, on_top = compositor.merged(np.array(RED) * alpha[..., None], alpha, np.where(left, 2.6, 1e10), plate, z)
    # Cycles filters the card's own outline, in the middle of the image.
    inside = np.abs(np.arange(plate_size[0]) + 0.5 - plate_size[0] / 2) > 2
    found = compositor.render(empty_file, tmp_path, 2)
    np.testing.assert_allclose(found[:, inside, :3], wanted[:, inside], atol=1e-3)
    np.testing.assert_allclose(found[..., 3], 1, atol=1e-3)
    compositor.show(empty_file, nodes.output_of(node, "Z"))
    found = compositor.render(empty_file, tmp_path, 2)[..., 0]
    np.testing.assert_allclose(found[:, inside], on_top[:, inside], rtol=1e-3)


def test_alpha_shows_the_plate_through(tmp_path, empty_file):
    """The group itself, fed by images: a half transparent render nearer on the left, farther on the right."""
    size = (24, 16)
    depth = depths.load(depth_maker.make(tmp_path, size=size, disparity=lambda n, w, h: np.full((h, w), 0.25)))
    node = add_z_combine(empty_file, depth, depth.sequence.shots[0])
    alpha = np.full((16, 24), 0.5, np.float32)
    alpha[:8] = 1.0
    channels = {name: (alpha * value).astype(np.float32) for name, value in zip("RGB", RED)}
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {**channels, "A": alpha}).write(str(tmp_path / "render.exr"))
    near = np.where(np.arange(24) < 12, 3.0, 5.0)[None].repeat(16, axis=0)
    depth_maker.write_map(tmp_path / "z.exr", near)
    tree = compositor_nodes.find_scene_tree(empty_file)
    for name, file in (("Render", "render.exr"), ("Render Z", "z.exr")):
        image = bpy.data.images.load(str(tmp_path / file))
        image.colorspace_settings.name = "Non-Color"
        source = nodes.new(tree, "CompositorNodeImage", image=image)
        socket = nodes.output_of(source, "Image")
        if name == "Render Z":
            split = nodes.new(tree, "CompositorNodeSeparateColor")
            nodes.feed(nodes.input_of(split, "Image"), socket)
            socket = nodes.output_of(split, "Red")
        nodes.feed(nodes.input_of(node, name), socket)
    for unused in [n for n in tree.nodes if n.bl_idname == "CompositorNodeRLayers"]:
        tree.nodes.remove(unused)
    compositor.prepare(empty_file, size)
    plate = compositor.plate(1, size)
    wanted, _ = compositor.merged(np.array(RED) * alpha[..., None], alpha, near, plate, np.full_like(near, 4.0))
    found = compositor.render(empty_file, tmp_path, 1)
    np.testing.assert_allclose(found[..., :3], wanted, atol=1e-3)
    np.testing.assert_allclose(found[..., 3], 1, atol=1e-3)


def test_frames_without_depth_show_the_plate_alone(tmp_path, empty_file):
    shots = [(1, 1, "done"), (2, 3, "refused")]
    depth = depths.load(depth_maker.make(tmp_path, size=(24, 16), frames=range(1, 4), shots=shots))
    compositor.add_card(empty_file, distance=0.5, color=RED)
    add_z_combine(empty_file, depth, depth.sequence.shots[0])
    compositor.prepare(empty_file, (24, 16))
    assert np.allclose(compositor.render(empty_file, tmp_path, 1)[:, :10, :3], RED, atol=1e-3)
    for frame in (2, 3):
        found = compositor.render(empty_file, tmp_path, frame)[..., :3]
        np.testing.assert_allclose(found, compositor.plate(frame, (24, 16)), atol=3e-4)


def test_each_shot_of_a_clip_gets_its_merge(tmp_path, empty_file):
    shots = [(1, 1, "done"), (2, 3, "done")]
    depth = depths.load(depth_maker.make(tmp_path, size=(24, 16), frames=range(1, 4), shots=shots))
    compositor.add_card(empty_file, distance=0.5, color=RED)
    a, b = (add_z_combine(empty_file, depth, shot) for shot in depth.sequence.shots)
    assert a != b and a.node_tree == b.node_tree
    compositor.prepare(empty_file, (24, 16))
    for frame in (1, 2, 3):
        found = compositor.render(empty_file, tmp_path, frame)[..., :3]
        assert np.allclose(found[:, :10], RED, atol=1e-3)
        np.testing.assert_allclose(found[:, 14:], compositor.plate(frame, (24, 16))[:, 14:], atol=3e-4)


def test_a_tree_that_shows_a_render_gets_the_plate_under_it(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(24, 16)))
    compositor.add_card(empty_file, distance=0.5, color=RED)
    tree = compositor_nodes.scene_tree(empty_file)
    layers = nodes.new(tree, "CompositorNodeRLayers", scene=empty_file)
    grade = nodes.new(tree, "CompositorNodeHueSat")
    nodes.input_of(grade, "Value").default_value = 0.5
    nodes.feed(nodes.input_of(grade, "Image"), nodes.output_of(layers, "Image"))
    nodes.feed(compositor_nodes.result(tree), nodes.output_of(grade, "Image"))
    add_z_combine(empty_file, depth, depth.sequence.shots[0])
    assert sum(n.bl_idname == "CompositorNodeRLayers" for n in tree.nodes) == 1
    compositor.prepare(empty_file, (24, 16))
    found = compositor.render(empty_file, tmp_path, 1)[..., :3]
    np.testing.assert_allclose(found[:, :10], np.broadcast_to(RED, (16, 10, 3)) / 2, atol=1e-3)
    np.testing.assert_allclose(found[:, 14:], compositor.plate(1, (24, 16))[:, 14:], atol=3e-4)


def test_a_render_over_a_image_is_declined_in_a_sentence(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(24, 16)))
    tree = compositor_nodes.scene_tree(empty_file)
    layers = nodes.new(tree, "CompositorNodeRLayers", scene=empty_file)
    image = nodes.new(tree, "CompositorNodeImage")
    both = compositor_nodes.mix_color(tree, 0.5, nodes.output_of(layers, "Image"), nodes.output_of(image, "Image"))
    nodes.feed(compositor_nodes.result(tree), both)
    before = (len(tree.nodes), len(tree.links))
    with pytest.raises(Problem, match="lays a render over images already"):
        add_z_combine(empty_file, depth, depth.sequence.shots[0])
    assert (len(tree.nodes), len(tree.links)) == before


def test_later_fog_lies_on_the_render_too_and_nothing_is_doubled(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(24, 16)))
    shot = depth.sequence.shots[0]
    compositor.add_card(empty_file, distance=0.5, color=RED)
    node = add_z_combine(empty_file, depth, shot)
    add_fog(empty_file, depth, shot, color=(0, 0, 1), density=2.0, start=0.25)
    tree = compositor_nodes.find_scene_tree(empty_file)
    before = (len(tree.nodes), len(tree.links))
    assert add_z_combine(empty_file, depth, shot) == node
    assert (len(tree.nodes), len(tree.links)) == before
    compositor.prepare(empty_file, (24, 16))
    fog = 1 - np.exp(-2.0 * 0.25)
    wanted = np.array(RED) * (1 - fog) + np.array((0, 0, 1)) * fog
    np.testing.assert_allclose(
        compositor.render(empty_file, tmp_path, 1)[:, :10, :3], np.broadcast_to(wanted, (16, 10, 3)), atol=1e-3
    )
