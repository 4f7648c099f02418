"""What depth of field promises: sharp at the focus, more blurred the further 1/Z is from it, nothing elsewhere."""

import itertools

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_depth_of_field, add_z_combine, compositor_nodes

SIZE = (120, 40)
BANDS = (0.5, 0.4, 0.25, 0.1, 0.05, 0.01)
"""Disparity of upright bands, each 20 pixels wide."""


def bands(frame, width, height):
    return np.repeat(np.array(BANDS)[None, :], height, axis=0).repeat(width // len(BANDS), axis=1)


def grain(frame, width, height):
    return np.random.default_rng(frame).integers(0, 256, (height, width, 3)).astype(np.uint8)


def make(tmp_path, scale=1, **more):
    size = (SIZE[0] // scale, SIZE[1] // scale)
    more = {"frames": range(1, 4), "disparity": bands, "image": grain, **more}
    return depths.load(depth_maker.make(tmp_path, size=size, plate_size=SIZE, **more))


def add_camera(scene):
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def values_of(node):
    return {socket.name: socket.default_value for socket in node.inputs}


def defocus_of(node):
    return nodes.output_of(node, "Radius").links[0].to_node


def middle(image, band):
    """The band without what neighbors may bleed into."""
    return image[10:-10, band * 20 + 7 : band * 20 + 13, :3]


@pytest.mark.parametrize("scale", [1, 2])
def test_sharp_at_the_focus_and_more_blurred_away_from_it(tmp_path, empty_file, scale):
    depth = make(tmp_path, scale)
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
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0])
    stop = nodes.input_of(node, "F-Stop")
    first = stop.default_value
    assert 0.01 < first < 128
    compositor.prepare(empty_file, SIZE)
    defocus_of(node).blur_max = 16
    plate = compositor.linear(grain(1, *SIZE) / 255)
    kept = []
    for stop.default_value in (first, first / 4, first / 16):
        kept.append(middle(compositor.render(empty_file, tmp_path, 1), 0).std() / middle(plate, 0).std())
    assert 0.98 > kept[0] > kept[1] > kept[2]


def test_the_blur_and_its_limit_are_what_the_lens_gives(tmp_path, empty_file):
    depth = make(tmp_path)
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.5)
    nodes.input_of(node, "Focal Length").default_value = 35.0
    for percentage in (100, 50):
        compositor.prepare(empty_file, SIZE, percentage=percentage)
        compositor.show(empty_file, nodes.output_of(node, "Radius"))
        found = compositor.render(empty_file, tmp_path, 2)[10, :, 0]
        wanted = 0.035**2 / (2 * 0.5 * 0.036) * np.abs(np.array(BANDS) - 0.25) * SIZE[0] * percentage / 100
        np.testing.assert_allclose(found[len(found) // 12 :: len(found) // 6], wanted, rtol=1e-3, atol=1e-4)


def test_frames_without_depth_pass_unchanged_and_cost_nothing(tmp_path, empty_file):
    depth = make(tmp_path, shots=[(1, 1, "done"), (2, 3, "refused")])
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.02, max_blur=5)
    compositor.prepare(empty_file, SIZE)
    for frame, blurred in ((1, True), (2, False), (3, False)):
        plate = compositor.linear(grain(frame, *SIZE) / 255)
        difference = np.abs(compositor.render(empty_file, tmp_path, frame)[..., :3] - plate).max()
        assert (difference > 0.1) == blurred
        assert blurred or difference < 3e-4
        assert defocus_of(node).blur_max == (5 if blurred else 0)
    add_depth_of_field(empty_file, depth, depth.sequence.shots[0], max_blur=7)
    empty_file.frame_set(1)
    assert defocus_of(node).blur_max == 7


def with_cameras(tmp_path, focal_length=140.0, **more):
    """A clip of two shots, whose second is much farther away, at frames 101-104."""
    depth = make(
        tmp_path,
        frames=range(1, 5),
        shots=[(1, 2, "done"), (3, 4, "done")],
        disparity=lambda frame, width, height: bands(frame, width, height) * (1.0 if frame < 3 else 0.02),
        camera=lambda frames: depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=focal_length),
        **more,
    )
    return depths.load(depth.folder, frame_offset=100)


def test_each_shot_is_focused_by_its_own_camera_and_the_artists_stays(tmp_path, empty_file):
    depth = with_cameras(tmp_path)
    artists = add_camera(empty_file)
    artists.data.dof.focus_distance = 10.0  # as Blender has it: nobody focused it
    built = [cameras.build_camera(depth, shot, scene=empty_file) for shot in depth.sequence.shots]
    empty_file.camera = artists
    blur = [add_depth_of_field(empty_file, depth, shot, max_blur=6) for shot in depth.sequence.shots]
    for node in blur:
        nodes.input_of(node, "F-Stop").default_value /= 4
    assert empty_file.camera == artists
    assert (artists.data.dof.focus_distance, artists.data.lens) == (10.0, 50.0)
    middle_of = np.array(BANDS)[2:4]  # the image's middle lies between these
    for i, scale in enumerate((1.0, 0.02)):
        focused = 1 / built[i].data.dof.focus_distance
        assert middle_of.min() * scale * 0.999 < focused < middle_of.max() * scale * 1.001, i
        assert not built[i].data.dof.use_dof
    compositor.prepare(empty_file, SIZE)
    for i, frame in ((0, 102), (1, 103)):
        built[i].data.dof.focus_distance = 1 / (BANDS[1] * (1.0, 0.02)[i])  # the artist pulls the focus
        built[i].update_tag()
        found = compositor.render(empty_file, tmp_path, frame)
        plate = compositor.linear(grain(frame - 100, *SIZE) / 255)
        kept = [middle(found, band).std() / middle(plate, band).std() for band in range(6)]
        assert kept[1] == pytest.approx(1, abs=1e-3) and kept[5] < 0.6, kept
        length = nodes.input_of(blur[i], "Focal Length").default_value
        assert length == pytest.approx(140 / SIZE[0] * 36)


def test_the_focus_follows_an_object_along_the_cameras_axis(tmp_path, empty_file):
    depth = with_cameras(tmp_path)
    shot = depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location, rig.rotation_euler = (3, 2, 1), (0.2, 0.1, 1.0)
    target = bpy.data.objects.new("target", None)
    empty_file.collection.objects.link(target)
    target.parent = camera
    target.location = (2.0, -1.0, -5.0)  # 5 ahead, well off the axis
    camera.data.dof.focus_object = target
    empty_file.frame_set(101)
    node = add_depth_of_field(empty_file, depth, shot)
    for ahead in (5.0, 7.5):
        target.location.z = -ahead
        empty_file.frame_set(102)
        assert values_of(node)["Focus Distance"] == pytest.approx(ahead, rel=1e-4)


@pytest.mark.parametrize("quantity", ["inverse_depth", "relative_disparity"])
def test_without_a_camera_the_node_has_focus_and_lens(tmp_path, empty_file, quantity):
    """The middle of the image at the scene's frame, in the units that the depth's inputs give."""

    def changing(frame, width, height):
        d = np.full((height, width), 0.1)
        d[height // 2 - 3 : height // 2 + 3, width // 2 - 9 : width // 2 + 9] = 0.2 + 0.1 * frame
        d[height // 2, width // 2] = 99  # one wild pixel does not count
        return d

    depth = make(tmp_path, quantity=quantity, disparity=changing)
    shot = depth.sequence.shots[0]
    group = add_z_combine(empty_file, depth, shot).inputs["Z"].links[0].from_node
    nodes.input_of(group, "Scale").default_value = 3.0
    empty_file.frame_set(2)
    found = values_of(add_depth_of_field(empty_file, depth, shot))
    suits = depths.distances(depth, shot)
    inverse = 0.4
    if quantity == "relative_disparity":
        t = (0.4 - suits.p1) / (suits.p99 - suits.p1)
        inverse = t * (1 / suits.near - 1 / suits.far) + 1 / suits.far
    assert found["Focus Distance"] == pytest.approx(3.0 / inverse, rel=1e-4)
    assert found["Focal Length"] == 50
    assert empty_file.camera is None


def test_the_estimators_lens_counts_and_a_camera_that_is_built_later_takes_the_focus(tmp_path, empty_file):
    depth = with_cameras(tmp_path, focal_length=100.0)
    shot = depth.sequence.shots[0]
    node = add_depth_of_field(empty_file, depth, shot, focus_distance=3.25)
    assert values_of(node)["Focal Length"] == pytest.approx(30.0)
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    assert add_depth_of_field(empty_file, depth, shot) == node
    assert camera.data.dof.focus_distance == 3.25
    camera.data.dof.focus_distance = 4.0
    empty_file.frame_set(102)
    assert values_of(node)["Focus Distance"] == 4.0
    nodes.input_of(node, "Focus Distance").driver_remove("default_value")  # the artist wants it on the node
    nodes.input_of(node, "Focus Distance").default_value = 1.5
    add_depth_of_field(empty_file, depth, shot)
    empty_file.frame_set(101)
    assert values_of(node)["Focus Distance"] == 1.5


def test_the_first_limit_is_a_small_part_of_the_width(tmp_path, empty_file):
    """What it costs grows with the limit's square, so it is as much as the first blur needs and no more."""
    depth = make(tmp_path)
    empty_file.render.resolution_x = 1920
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0])
    assert defocus_of(node).blur_max == 16
    empty_file.render.resolution_x, empty_file.render.resolution_y = SIZE
    compositor.prepare(empty_file, SIZE)
    compositor.show(empty_file, nodes.output_of(node, "Radius"))
    radius = compositor.render(empty_file, tmp_path, 1)[..., 0]
    assert 0.5 / 120 < np.percentile(radius, 90) / SIZE[0] < 1.5 / 120


def test_the_second_time_nothing_is_doubled_and_what_was_tuned_is_kept(tmp_path, empty_file):
    depth = make(tmp_path)
    shot = depth.sequence.shots[0]
    node = add_depth_of_field(empty_file, depth, shot, focus_distance=6.0)
    tree = compositor_nodes.find_scene_tree(empty_file)
    nodes.input_of(node, "F-Stop").default_value = 1.5
    before = (len(tree.nodes), len(tree.links))
    empty_file.frame_set(3)
    assert add_depth_of_field(empty_file, depth, shot, max_blur=5) == node
    assert (len(tree.nodes), len(tree.links)) == before
    found = values_of(node)
    assert (found["F-Stop"], found["Focus Distance"], defocus_of(node).blur_max) == (1.5, 6.0, 5.0)
    add_depth_of_field(empty_file, depth, shot, focus_distance=3.0)
    assert values_of(node)["Focus Distance"] == 3.0
