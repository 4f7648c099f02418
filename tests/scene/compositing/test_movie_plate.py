"""A movie as the plate: the compositor shows the frames that Blender's Movie Clip node shows."""

from dataclasses import replace

import bpy
import compositor
import depth_maker
import numpy as np
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_fog, compositor_nodes

from tests import footage_maker


def test_frames_of_a_movie_in_step_with_its_depth(tmp_path, empty_file, footage):
    movie = footage / "clips" / "bigbuckbunny_static-camera.mp4"
    clip = bpy.data.movieclips.load(str(movie))
    size = tuple(clip.size)
    folder = depth_maker.make(tmp_path, size=(64, 36), plate_size=(8, 8), frames=range(20, 24))
    sequence = depth_sequence.load(folder)
    source = replace(sequence.source, kind="movie", path=str(movie), files=(), width=size[0], height=size[1])
    depth_sequence.save(replace(sequence, source=source), folder)
    depth = depths.load(folder, frame_offset=100)
    add_fog(empty_file, depth, depth.sequence.shots[0], density=0)
    tree = compositor_nodes.scene_tree(empty_file)
    clip.frame_start = 101
    reference = nodes.output_of(nodes.new(tree, "CompositorNodeMovieClip", clip=clip), "Image")
    result = compositor_nodes.result(tree).links[0].from_socket
    compositor.prepare(empty_file, size)
    for scene_frame, shown in ((110, 120), (120, 120), (122, 122), (123, 123), (150, 123)):
        compositor.show(empty_file, result)
        found = compositor.render(empty_file, tmp_path, scene_frame)
        compositor.show(empty_file, reference)
        np.testing.assert_allclose(found, compositor.render(empty_file, tmp_path, shown), atol=1e-4)


def test_a_movie_that_was_replaced_is_shown_once_something_is_added_of_its_depth(tmp_path, empty_file):
    def write(level):
        images = [np.full((36, 64, 3), level, np.uint8)] * 4
        made = footage_maker.movie(tmp_path / "new.mp4", range(4), size=(64, 36), images=images)
        return made.replace(tmp_path / "plate.mp4")

    source = Source(kind="movie", path=str(write(40)), width=64, height=36, frame_count=4)
    depth = depths.load(depth_maker.make(tmp_path, size=(64, 36), frames=range(1, 5), source=source))
    compositor.prepare(empty_file, (64, 36))
    found = []
    for level in (40, 200):
        write(level)
        add_fog(empty_file, depth, depth.sequence.shots[0], density=0)
        found.append(compositor.render(empty_file, tmp_path, 2)[..., :3].mean())
    np.testing.assert_allclose(found, compositor.linear(np.array([40, 200]) / 255), rtol=0.05)
