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
from bl_ext.dev.fathom.scene.compositing import add_depth_of_field, add_z_combine, chain, compositor_nodes, focus_at
from bl_ext.dev.fathom.scene.problems import Problem

from development.benchmark_scenes import effects

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


def limit(node):
    return nodes.input_of(node, "Max Blur")


def middle(image, band):
    """The band without what neighbors may bleed into."""
    return image[10:-10, band * 20 + 7 : band * 20 + 13, :3]


@pytest.mark.parametrize("scale", [1, 2])
def test_sharp_at_the_focus_and_more_blurred_away_from_it(tmp_path, empty_file, scale):
    depth = make(tmp_path, scale)
    add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.05, max_blur=4)
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
    limit(node).default_value = 16
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
        empty_file.frame_set(frame)
        assert nodes.input_of(node, "Active").default_value == blurred
    add_depth_of_field(empty_file, depth, depth.sequence.shots[0], max_blur=7)
    assert limit(node).default_value == 7


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
    blur = [add_depth_of_field(empty_file, depth, shot, max_blur=4) for shot in depth.sequence.shots]
    for camera in built:
        camera.data.dof.aperture_fstop /= 4
        camera.data.update_tag()
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
    assert limit(node).default_value == 16
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
    assert (found["F-Stop"], found["Focus Distance"], limit(node).default_value) == (1.5, 6.0, 5.0)
    add_depth_of_field(empty_file, depth, shot, focus_distance=3.0)
    assert values_of(node)["Focus Distance"] == 3.0


@pytest.mark.parametrize("near", [True, False])
def test_near_and_far_are_kept_apart_at_an_edge(tmp_path, empty_file, near):
    """A red thing on blue: in focus before a blurred blue, or blurred before a sharp one."""
    half = SIZE[0] // 2

    def edge(frame, width, height):
        return np.where(np.arange(width) < width // 2, 1.0, 0.25)[None, :] * np.ones((height, 1))

    def colors(frame, width, height):
        left = (np.arange(width) < width // 2)[None, :, None]
        image = np.where(left, (200, 0, 0), (0, 0, 200)) * np.ones((height, 1, 1))
        return image.astype(np.uint8)

    depth = make(tmp_path, disparity=edge, image=colors)
    lens = {"focus_distance": 4.0 if near else 1.0, "f_stop": 0.4, "max_blur": 8}
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0], **lens)
    compositor.prepare(empty_file, SIZE)
    found = compositor.render(empty_file, tmp_path, 1)[SIZE[1] // 2]
    full = compositor.linear(200 / 255)
    compositor.show(empty_file, nodes.output_of(node, "Radius"))
    radius = compositor.render(empty_file, tmp_path, 1)[SIZE[1] // 2, :, 0]
    assert radius[half - 4 if near else half + 4] > 6
    red, blue = found[:, 0] / full, found[:, 2] / full
    if near and not compositor_nodes.is_deep():
        return  # Defocus ends it at its outline
    if near:  # soft on both sides of its outline, and what it hides is as blue as what is beside it
        assert 0.15 < red[half + 2] < 0.5 and 0.5 < red[half - 3] < 0.95 and red[half + 12] < 0.02
        np.testing.assert_allclose((red + blue)[half - 12 : half + 12], 1, atol=0.08)
    else:  # a hard outline; nothing of it in what is blurred
        assert red[:half].min() > 0.98 and red[half + 1 :].max() < 0.02
        np.testing.assert_allclose(blue[half + 1 :], 1, atol=0.02)
    np.testing.assert_allclose(found[:, 3], 1, atol=1e-3)


def test_near_or_far_can_stay_sharp(tmp_path, empty_file):
    depth = make(tmp_path)
    node = add_depth_of_field(empty_file, depth, depth.sequence.shots[0], focus_distance=4.0, f_stop=0.05, max_blur=8)
    nodes.input_of(node, "Far").default_value = 0.0
    compositor.prepare(empty_file, SIZE)
    plate = compositor.linear(grain(1, *SIZE) / 255)
    found = compositor.render(empty_file, tmp_path, 1)
    np.testing.assert_allclose(middle(found, 4), middle(plate, 4), atol=3e-4)
    assert middle(found, 0).std() < 0.6 * middle(plate, 0).std()


def test_the_focus_is_picked_in_the_image(tmp_path, empty_file):
    depth = make(tmp_path)
    shot = depth.sequence.shots[0]
    empty_file.frame_set(2)
    node, distance = focus_at(empty_file, depth, shot, ((4 * 20 + 10) / SIZE[0], 0.5))
    assert distance == pytest.approx(1 / BANDS[4], rel=1e-4)
    assert values_of(node)["Focus Distance"] == pytest.approx(distance)
    again, nearer = focus_at(empty_file, depth, shot, (10 / SIZE[0], 0.2))
    assert again == node and nearer == pytest.approx(1 / BANDS[0], rel=1e-4)
    with pytest.raises(Problem, match="beside the image"):
        focus_at(empty_file, depth, shot, (1.2, 0.5))


def test_the_lens_of_the_camera_is_the_lens(tmp_path, empty_file):
    """Its f-stop, its blades and its sensor, in millimeters of the render's width."""
    depth = with_cameras(tmp_path)
    shot = depth.sequence.shots[0]
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    optics = camera.data.dof
    optics.aperture_fstop, optics.aperture_blades = 1.4, 5
    camera.data.sensor_width, camera.data.sensor_fit = 24.0, "AUTO"
    empty_file.render.resolution_x, empty_file.render.resolution_y = SIZE
    node = add_depth_of_field(empty_file, depth, shot)
    assert optics.aperture_fstop == pytest.approx(1.4)
    empty_file.frame_set(101)
    found = values_of(node)
    assert (found["F-Stop"], found["Sensor Width"]) == pytest.approx((1.4, 24.0))
    optics.aperture_fstop = 5.6
    empty_file.render.resolution_x, empty_file.render.resolution_y = SIZE[1], SIZE[0]
    empty_file.frame_set(102)
    found = values_of(node)
    assert (found["F-Stop"], found["Sensor Width"]) == pytest.approx((5.6, 24.0 * SIZE[1] / SIZE[0]))
    if "Blades" in found:
        assert (found["Blades"], found["Roundness"]) == (5, 0)


def test_the_two_nodes_of_an_earlier_fathom_become_one(tmp_path, empty_file):
    """A file that was made with a node for the radius and Blender's Defocus."""
    depth = make(tmp_path)
    shot = depth.sequence.shots[0]
    setup = chain.open_setup(empty_file, depth, shot)
    source = chain.clip_image(setup)
    group = bpy.data.node_groups.new("Fathom Depth of Field", "CompositorNodeTree")
    nodes.interface_output(group, "Radius", "Float")
    for name, value in (
        ("Z", 1.0),
        ("Has Depth", 1.0),
        ("Focus Distance", 3.5),
        ("F-Stop", 0.7),
        ("Focal Length", 35.0),
    ):
        nodes.interface_number(group, name, value, "")
    focus = setup.mark(nodes.new(setup.tree, "CompositorNodeGroup"), "comp_focus")
    focus.node_tree = group
    for name, value in (("Focus Distance", 3.5), ("F-Stop", 0.7), ("Focal Length", 35.0)):
        focus.inputs[name].default_value = value
    defocus = setup.mark(nodes.new(setup.tree, "CompositorNodeDefocus", blur_max=12), "comp_defocus")
    output = compositor_nodes.result(setup.tree)
    nodes.feed(nodes.input_of(defocus, "Image"), source)
    nodes.feed(nodes.input_of(defocus, "Z"), nodes.output_of(focus, "Radius"))
    nodes.feed(output, nodes.output_of(defocus, "Image"))
    node = add_depth_of_field(empty_file, depth, shot)
    assert output.links[0].from_node == node and nodes.input_of(node, "Image").links[0].from_socket == source
    found = values_of(node)
    values = [found[name] for name in ("Focus Distance", "F-Stop", "Focal Length", "Max Blur")]
    assert values == pytest.approx([3.5, 0.7, 35.0, 12.0])
    kinds = [each.get("fathom_kind") for each in setup.tree.nodes]
    assert "comp_focus" not in kinds and kinds.count("comp_defocus") == 1


@pytest.mark.skipif(not compositor_nodes.is_deep(), reason="from Blender 4.5 on")
@pytest.mark.parametrize(
    ("size", "radius", "samples", "at_least"),
    [((160, 90), 4, 24, 0.9), pytest.param((640, 360), 10, 128, 0.95, marks=pytest.mark.slow(seconds=40))],
)
def test_it_is_what_the_lens_of_cycles_renders(tmp_path, size, radius, samples, at_least):
    """The same scene by Cycles' lens and by true distances, as structural similarity; better than Blender's Defocus."""
    found = effects.against_cycles(tmp_path, size, radius, samples)
    assert found["lens"] > at_least and (size[0] < 640 or found["lens"] > found["defocus"]), found
    assert found["lens"] > found["sharp"] + 0.02, found
