"""Clips whose numbers begin at 0 or grow by a digit: every builder shows each frame where the clip has it."""

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene import nodes, source
from bl_ext.dev.fathom.scene.compositing import add_fog, compositor_nodes
from geometry_tools import attribute, evaluated

from tests.blender_images import fresh_sequencer
from tests.footage_maker import number_in, stills
from tests.marks import rest_slow


def still(frames):
    return depth_maker.dolly(frames, width=6, height=4, focal_length=7.0, step=0.0, yaw=0.0)


@pytest.mark.parametrize("first", [0, 9998])
@pytest.mark.parametrize("scene_start", rest_slow([0, 8]))
def test_depth_and_plate_are_in_step(tmp_path, empty_file, first, scene_start):
    folder = depth_maker.make(tmp_path, frames=range(first, first + 4), camera=still, size=(6, 4))
    depth = depths.load(folder, frame_offset=scene_start - first)
    shot = depth.sequence.shots[0]
    mesh = meshes.build_mesh(depth, shot, cameras.build_camera(depth, shot, scene=empty_file))
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    add_fog(empty_file, depth, shot, density=0)
    tree = compositor_nodes.find_scene_tree(empty_file)
    group = next(node for node in tree.nodes if node.label == "Fathom Depth")
    image = compositor_nodes.result(tree).links[0].from_socket
    compositor.prepare(empty_file, (6, 4))
    for step in range(-2, 6):
        frame, wanted = scene_start + step, min(max(first + step, first), first + 3)
        disparity = depth_maker.slanted(wanted, 6, 4)
        z = attribute(evaluated(mesh, empty_file, frame).data, meshes.DEPTH_ATTRIBUTE, 1).reshape(8, 6)[1:-1, 1:-1]
        np.testing.assert_allclose(1 / z, disparity[::-1].T, rtol=1e-5, err_msg=str(frame))
        compositor.show(empty_file, nodes.output_of(group, "Disparity"))
        found = compositor.render(empty_file, tmp_path, frame)[..., 0]
        np.testing.assert_allclose(found, disparity, rtol=1e-5, err_msg=str(frame))
        compositor.show(empty_file, image)
        found = compositor.render(empty_file, tmp_path, frame)[..., :3]
        np.testing.assert_allclose(found, compositor.plate(wanted, (6, 4)), atol=3e-4, err_msg=str(frame))


@pytest.mark.parametrize("first", [0, 9998])
@pytest.mark.parametrize("offset", [0, 2])
def test_a_clip_of_the_clip_editor_shows_what_its_plate_says(tmp_path, empty_file, first, offset):
    files = stills(tmp_path / "plate", range(first, first + 6))
    clip = bpy.data.movieclips.load(str(files[0]))
    clip.frame_start, clip.frame_offset = 5, offset
    plate = source.from_clip(clip)
    assert (plate.first_frame, plate.last_frame) == (first + offset, first + 5)
    assert plate.source.files == tuple(file.name for file in files)
    compositor.prepare(empty_file, tuple(clip.size))
    node = nodes.new(compositor_nodes.scene_tree(empty_file), "CompositorNodeMovieClip")
    node.clip = clip
    compositor.show(empty_file, nodes.output_of(node, "Image"))
    for frame in (plate.first_frame, plate.last_frame):
        shown = compositor.render(empty_file, tmp_path, frame + plate.frame_offset)[..., :3]
        assert number_in(shown) == frame - first


@pytest.mark.parametrize("first", [0, 9998])
def test_a_strip_keeps_the_numbers(tmp_path, empty_file, first):
    files = stills(tmp_path / "plate", range(first, first + 6))
    strip = fresh_sequencer(empty_file).new_image("plate", str(files[0]), 1, 21)
    for file in files[1:]:
        strip.elements.append(file.name)
    plate = source.from_strip(strip, empty_file)
    assert (plate.first_frame, plate.last_frame, plate.scene_start) == (first, first + 5, 21)
    assert source.from_file(files[2]).first_frame == first
