"""What depth of field promises: sharp at the focus, more blurred the further 1/Z is from it, nothing elsewhere."""

import itertools

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import compositor_nodes
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene.compositing import CompositingError, add_depth_of_field

SIZE = (120, 40)
BANDS = (0.5, 0.4, 0.25, 0.1, 0.05, 0.01)
"""Disparity of upright bands, each 20 pixels wide."""


def bands(frame, width, height):
    return np.repeat(np.array(BANDS)[None, :], height, axis=0).repeat(width // len(BANDS), axis=1)


def grain(frame, width, height):
    return np.random.default_rng(frame).integers(0, 256, (height, width, 3)).astype(np.uint8)


def make(tmp_path, scale=1, **more):
    size = (SIZE[0] // scale, SIZE[1] // scale)
    more = {"frames": range(1, 4), "disparity": bands, "picture": grain, **more}
    return depths.load(depth_maker.make(tmp_path, size=size, plate_size=SIZE, **more))


def add_camera(scene):
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def middle(picture, band):
    """The band without what neighbours may bleed into."""
    return picture[10:-10, band * 20 + 7 : band * 20 + 13, :3]


@pytest.mark.parametrize("scale", [1, 2])
def test_sharp_at_the_focus_and_more_blurred_away_from_it(tmp_path, empty_file, scale):
    depth = make(tmp_path, scale)
    add_camera(empty_file)
    add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.05, max_blur=8)
    compositor.prepare(empty_file, SIZE)
    plate = compositor.linear(grain(2, *SIZE) / 255)
    found = compositor.render(empty_file, tmp_path, 2)
    np.testing.assert_allclose(middle(found, 2), middle(plate, 2), atol=3e-4)  # 1/Z = 1/4
    kept = [middle(found, i).std() / middle(plate, i).std() for i in range(6)]
    away = np.abs(np.array(BANDS) - 0.25)
    by_distance = [kept[i] for i in np.argsort(away)]
    assert all(b <= a + 0.02 for a, b in itertools.pairwise(by_distance)), kept
    assert by_distance[-1] < 0.3
    np.testing.assert_allclose(found[..., 3], 1, atol=1e-5)


def test_a_smaller_f_stop_blurs_more_and_the_first_one_suits(tmp_path, empty_file):
    depth = make(tmp_path)
    camera = add_camera(empty_file)
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0])
    assert 2 < camera.data.dof.focus_distance < 100  # between the nearest and the farthest
    assert 0 < node.f_stop < 128
    assert not camera.data.dof.use_dof
    compositor.prepare(empty_file, SIZE)
    plate = compositor.linear(grain(1, *SIZE) / 255)
    kept = []
    for stop in (node.f_stop, node.f_stop / 4, node.f_stop / 16):
        node.f_stop = stop
        kept.append(middle(compositor.render(empty_file, tmp_path, 1), 0).std() / middle(plate, 0).std())
    assert 0.98 > kept[0] > kept[1] > kept[2]


def test_frames_without_depth_pass_unchanged(tmp_path, empty_file):
    depth = make(tmp_path, shots=[(1, 1, "done"), (2, 3, "refused")])
    add_camera(empty_file)
    add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.02)
    compositor.prepare(empty_file, SIZE)
    for frame, blurred in ((1, True), (2, False), (3, False)):
        plate = compositor.linear(grain(frame, *SIZE) / 255)
        difference = np.abs(compositor.render(empty_file, tmp_path, frame)[..., :3] - plate).max()
        assert (difference > 0.1) == blurred
        assert blurred or difference < 3e-4


def test_each_shot_is_focused_by_the_camera_that_the_scene_has_then(tmp_path, empty_file):
    def much_farther_later(frame, width, height):
        return bands(frame, width, height) * (1.0 if frame < 3 else 0.02)

    depth = make(
        tmp_path,
        frames=range(1, 5),
        shots=[(1, 2, "done"), (3, 4, "done")],
        disparity=much_farther_later,
        camera=lambda frames: depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=140.0),
    )
    depth = depths.load(depth.folder, frame_offset=100)
    built = [cameras.build_camera(depth, shot, scene=empty_file) for shot in depth.sequence.shots]
    cameras.cut_between_cameras(depth, empty_file)
    for frame, camera in ((1, 0), (101, 0), (102, 0), (103, 1), (900, 1)):
        assert cameras.camera_at(empty_file, frame) == built[camera]
    blur = [add_depth_of_field(empty_file, depth, shot) for shot in depth.sequence.shots]
    focus = [camera.data.dof.focus_distance for camera in built]
    for shot, distance in zip(depth.sequence.shots, focus):
        found = depths.distances(depth, shot)
        assert found.near < distance < found.far
    compositor.prepare(empty_file, SIZE)
    for frame, node in ((102, blur[0]), (103, blur[1])):
        node.f_stop /= 2
        plate = compositor.linear(grain(frame - 100, *SIZE) / 255)
        found = compositor.render(empty_file, tmp_path, frame)
        kept = [middle(found, i).std() / middle(plate, i).std() for i in range(6)]
        nearest = int(np.argmin(np.abs(much_farther_later(frame - 100, 6, 1)[0] - 1 / focus[frame - 102])))
        assert kept[nearest] == max(kept) and kept[0] < 0.6 < kept[nearest], kept


def test_no_camera_is_said_in_a_sentence_and_nothing_changes(tmp_path, empty_file):
    depth = make(tmp_path)
    with pytest.raises(CompositingError, match="has no camera"):
        add_depth_of_field(empty_file, depth, depth.sequence.shots[0])
    assert compositor_nodes.find_scene_tree(empty_file) is None


def test_the_second_time_nothing_is_doubled_and_what_was_tuned_is_kept(tmp_path, empty_file):
    depth = make(tmp_path)
    shot = depth.sequence.shots[0]
    camera = add_camera(empty_file)
    camera.data.dof.focus_distance = 6.0
    node = add_depth_of_field(empty_file, depth, shot)
    assert camera.data.dof.focus_distance == 6.0
    tree = compositor_nodes.find_scene_tree(empty_file)
    node.f_stop = 1.5
    before = (len(tree.nodes), len(tree.links))
    assert add_depth_of_field(empty_file, depth, shot, focus_distance=3.0, max_blur=5) == node
    assert (len(tree.nodes), len(tree.links)) == before
    assert (node.f_stop, node.blur_max, camera.data.dof.focus_distance) == (1.5, 5.0, 3.0)
