"""Z Combine of a scene whose camera is solved: render and plate hide each other rightly, distorted as filmed or not."""

import bpy
import compositor
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.scene import camera_fit, depth_list, nodes
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene.compositing import add_z_combine, compositor_nodes
from room_maker import Room

CARD = 8.0
"""Where the card stands, along y in the room."""
RED = (0.8, 0.1, 0.05)


def in_room(tmp_path, scene, room, *, follows=True):
    """A fitted depth, and a camera by which the world is the room; the scene shows a red card across it."""
    folder, clip = room_maker.make(tmp_path, room)
    room_maker.add_camera(clip, room, scene, follows=follows)
    depth = depths.load(folder, frame_offset=-1000)
    depth_list.remember(scene, depth)
    camera_fit.fit_to_solve(depth, depth.done_shots[0], clip, scene=scene)
    mesh = bpy.data.meshes.new("card")
    mesh.from_pydata([(-99, CARD, -5), (99, CARD, -5), (99, CARD, 0.4), (-99, CARD, 0.4)], [], [(0, 1, 2, 3)])
    card = bpy.data.objects.new("card", mesh)
    scene.collection.objects.link(card)
    material = bpy.data.materials.new("red")
    tree = nodes.material_tree(material)
    tree.nodes.clear()
    light, out = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    light.inputs["Color"].default_value = (*RED, 1)
    tree.links.new(light.outputs["Emission"], out.inputs["Surface"])
    mesh.materials.append(material)
    compositor.prepare(scene, room_maker.SIZE)
    return depth_list.load(scene), depth.done_shots[0], clip


def expected(room, frame, straight=False):
    """Where the card is in front [H, W], and where that is sure: away from its edges and from what is not rendered."""
    width, height = room_maker.SIZE
    x, y = (np.arange(width) + 0.5) / width, 1 - (np.arange(height) + 0.5) / height
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    seen = Room() if straight else room
    pose = room.pose(frame)
    rays = seen.rays(places)
    world = rays @ pose[:3, :3].T
    card = (CARD - pose[1, 3]) / world[:, 1]
    top = pose[2, 3] + card * world[:, 2]
    front = (card < seen.distances(rays, frame)) & (top < 0.4)
    undistorted = np.stack([0.5 + rays[:, 0], 0.5 + rays[:, 1] * width / height], axis=1)
    rendered = np.all((undistorted > 0.01) & (undistorted < 0.99), axis=1)
    front, rendered = front.reshape(height, width), rendered.reshape(height, width)
    near = sum(np.roll(front, shift, axis) for shift in (-3, 3) for axis in (0, 1))
    return front, rendered & ((near == 4) | (near == 0))


@pytest.mark.slow
@pytest.mark.parametrize(("k1", "follows"), [(0.0, True), (-0.15, True), (0.0, False)])
def test_a_card_stands_on_the_filmed_floor(tmp_path, empty_file, k1, follows):
    room = Room(k1=k1)
    depth, shot, _ = in_room(tmp_path, empty_file, room, follows=follows)
    add_z_combine(empty_file, depth, shot)
    add_z_combine(empty_file, depth, shot)
    lenses = [n for n in compositor_nodes.find_scene_tree(empty_file).nodes if "MovieDistortion" in n.bl_idname]
    assert len(lenses) == (2 if k1 else 0)
    found = compositor.render(empty_file, tmp_path, 5)
    front, sure = expected(room, 1005)
    assert 0.1 < front.mean() < 0.6 and sure.mean() > 0.7
    is_red = np.abs(found[..., :3] - RED).max(axis=-1) < 0.05
    assert np.mean(is_red[sure] == front[sure]) > 0.998


@pytest.mark.slow
def test_a_plate_that_the_artist_undistorts(tmp_path, empty_file):
    room = Room(k1=-0.15)
    depth, shot, clip = in_room(tmp_path, empty_file, room)
    tree = compositor_nodes.scene_tree(empty_file)
    plate = nodes.new(tree, "CompositorNodeMovieClip", clip=clip)
    lens = nodes.new(tree, "CompositorNodeMovieDistortion", clip=clip)
    nodes.set_option(lens, "distortion_type", "UNDISTORT")
    nodes.feed(nodes.input_of(lens, "Image"), nodes.output_of(plate, "Image"))
    compositor.show(empty_file, nodes.output_of(lens, "Image"))
    add_z_combine(empty_file, depth, shot)
    found = compositor.render(empty_file, tmp_path, 5)
    front, sure = expected(room, 1005, straight=True)
    is_red = np.abs(found[..., :3] - RED).max(axis=-1) < 0.05
    assert np.mean(is_red[sure] == front[sure]) > 0.998


def test_distances_follow_the_size_of_the_camera(tmp_path, empty_file):
    room = Room()
    depth, shot, _ = in_room(tmp_path, empty_file, room)
    add_z_combine(empty_file, depth, shot)
    node = next(n for n in compositor_nodes.find_scene_tree(empty_file).nodes if n.get("fathom_kind") == "comp_depth")
    scale = nodes.input_of(node, "Scale")
    empty_file.frame_set(3)
    assert scale.default_value == pytest.approx(empty_file.camera.matrix_world.to_scale()[0], rel=1e-5)
    empty_file.camera.scale *= 2
    empty_file.frame_set(4)
    assert scale.default_value == pytest.approx(empty_file.camera.matrix_world.to_scale()[0], rel=1e-5)
    assert nodes.input_of(node, "Fit to Solve").default_value == 1
    camera_fit.remove_fit(empty_file, depth, shot)
    assert nodes.input_of(node, "Fit to Solve").default_value == 0 and scale.default_value == 1
