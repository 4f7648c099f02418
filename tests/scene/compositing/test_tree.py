"""What the artist has in the compositor survives; what Fathom adds is placed, found again and follows the rig."""

import shutil
from pathlib import Path

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes, tags
from bl_ext.dev.fathom.scene import plate as plates
from bl_ext.dev.fathom.scene.compositing import (
    add_depth_matte,
    add_depth_of_field,
    add_fog,
    add_z_combine,
    compositor_nodes,
)

EFFECTS = [add_z_combine, add_fog, add_depth_of_field, add_depth_matte]


@pytest.fixture
def depth(tmp_path, empty_file):
    folder = depth_maker.make(
        tmp_path,
        size=(16, 9),
        frames=range(1, 7),
        shots=[(1, 3, "done"), (4, 6, "done")],
        camera=lambda frames: depth_maker.dolly(frames, width=16, height=9, focal_length=20.0),
    )
    return depths.load(folder)


def links(tree):
    return {(k.from_node.name, k.from_socket.name, k.to_node.name, k.to_socket.identifier) for k in tree.links}


def position(node):
    x, y = node.location
    return (x + position(node.parent)[0], y + position(node.parent)[1]) if node.parent else (x, y)


def artist_tree(scene):
    """Two images, graded and mixed through a reroute, into the output and a viewer."""
    tree = compositor_nodes.scene_tree(scene)
    image = bpy.data.images.new("mine", 16, 9)
    source = nodes.new(tree, "CompositorNodeImage", image=image)
    grade = nodes.new(tree, "CompositorNodeHueSat")
    reroute = nodes.new(tree, "NodeReroute")
    viewer = nodes.new(tree, "CompositorNodeViewer")
    output = compositor_nodes.result(tree)
    nodes.feed(nodes.input_of(grade, "Image"), nodes.output_of(source, "Image"))
    nodes.feed(reroute.inputs[0], nodes.output_of(grade, "Image"))
    nodes.feed(nodes.input_of(viewer, "Image"), reroute.outputs[0])
    nodes.feed(output, reroute.outputs[0])
    for i, node in enumerate((source, grade, reroute, output.node)):
        node.location = (220 * i, 100)
    viewer.location = (660, -200)
    return tree, output


@pytest.mark.parametrize("add", EFFECTS)
def test_existing_links_survive_but_the_one_into_the_output(depth, add):
    scene = bpy.context.scene
    shot = depth.sequence.shots[0]
    cameras.build_camera(depth, shot, scene=scene)
    tree, output = artist_tree(scene)
    before = links(tree)
    add(scene, depth, shot)
    replaced = before - links(tree)
    assert len(replaced) == (0 if add is add_depth_matte else 1)
    assert all(to == output.node.name for _, _, to, _ in replaced)
    assert output.is_linked and compositor_nodes.result(tree) == output
    assert not any(node.label == "Plate" for node in tree.nodes)  # it has an image already


def test_everything_at_once_stands_in_frames_without_overlaps_and_is_added_once(depth):
    scene = bpy.context.scene
    tree, _ = artist_tree(scene)
    theirs = set(tree.nodes)
    for _ in range(2):
        for shot in depth.sequence.shots:
            cameras.build_camera(depth, shot, scene=scene)
            for add in EFFECTS:
                add(scene, depth, shot)
        count = (len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.images))
    for shot in depth.sequence.shots:
        for add in EFFECTS:
            add(scene, depth, shot)
    assert count == (len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.images))
    ours = set(tree.nodes) - theirs
    frames = {node for node in ours if node.bl_idname == "NodeFrame"}
    assert {node.label for node in frames} == {"plate Depth 1-3", "plate Depth 4-6"}
    assert all(node.parent in frames for node in ours - frames if node.bl_idname != "CompositorNodeRLayers")
    boxes = [(*position(node), node.width) for node in set(tree.nodes) - frames if node.bl_idname != "NodeReroute"]
    for i, (x, y, width) in enumerate(boxes):
        for other_x, other_y, other_width in boxes[:i]:
            assert abs(y - other_y) >= 100 or x + width <= other_x or other_x + other_width <= x
    for link in tree.links:
        if "Reroute" not in (link.from_node.bl_idname + link.to_node.bl_idname):
            assert position(link.from_node)[0] <= position(link.to_node)[0]
        assert link.is_valid


def test_an_empty_tree_shows_the_plate_through_to_the_output_and_a_viewer(depth, tmp_path):
    scene = bpy.context.scene
    node = add_fog(scene, depth, depth.sequence.shots[0], density=0)
    tree = compositor_nodes.find_scene_tree(scene)
    viewer = next(n for n in tree.nodes if n.bl_idname == "CompositorNodeViewer")
    assert nodes.input_of(viewer, "Image").links[0].from_node == node
    compositor.prepare(scene, (16, 9))
    for frame, shown in ((-3, 1), (1, 1), (5, 5), (6, 6), (40, 6)):  # the plate is clamped as the depth is
        found = compositor.render(scene, tmp_path, frame)
        np.testing.assert_allclose(found[..., :3], compositor.plate(shown, (16, 9)), atol=3e-4)


def test_an_odd_plate_in_an_even_render_leaves_no_rubbish(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(16, 10), plate_size=(33, 19)))
    node = add_fog(empty_file, depth, depth.sequence.shots[0], density=0.5, color=(1, 1, 1))
    assert node
    for percentage, size in ((100, (66, 38)), (50, (66, 38)), (100, (32, 32))):
        compositor.prepare(empty_file, size, percentage=percentage)
        found = compositor.render(empty_file, tmp_path, 2)
        assert found.shape[:2] == (size[1] * percentage // 100, size[0] * percentage // 100)
        assert np.isfinite(found).all() and found.min() >= -1e-6 and found.max() <= 1 + 1e-5


def test_scale_follows_the_rig_until_the_artist_sets_it(depth, tmp_path):
    scene = bpy.context.scene
    shot = depth.sequence.shots[0]
    cameras.build_camera(depth, shot, scene=scene)
    fog = add_fog(scene, depth, shot)
    group = nodes.input_of(fog, "Z").links[0].from_node
    rig = cameras.find_rig(depth, shot, scene)
    compositor.prepare(scene, (16, 9))
    compositor.show(scene, nodes.output_of(group, "Z"))
    z = compositor.render(scene, tmp_path, 2)[..., 0]
    rig[cameras.SCALE] = 3.0
    rig.update_tag()
    np.testing.assert_allclose(compositor.render(scene, tmp_path, 2)[..., 0], 3.0 * z, rtol=1e-5)
    other = depth.sequence.shots[1]
    second = nodes.input_of(add_fog(scene, depth, other), "Z").links[0].from_node
    nodes.input_of(second, "Scale").default_value = 7.0
    cameras.build_camera(depth, other, scene=scene)
    add_fog(scene, depth, other)
    assert nodes.input_of(second, "Scale").default_value == 7.0
    drivers = compositor_nodes.find_scene_tree(scene).animation_data.drivers
    of_depth = [curve.data_path for curve in drivers if curve.data_path.startswith(group.path_from_id())]
    assert of_depth == [nodes.input_of(group, "Scale").path_from_id("default_value")]


@pytest.mark.parametrize("add", EFFECTS)
def test_an_unsupported_shot_or_a_missing_plate_changes_nothing(tmp_path, empty_file, add):
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    empty_file.collection.objects.link(camera)
    empty_file.camera = camera
    shots = [(1, 2, "done"), (3, 4, "refused")]
    depth = depths.load(depth_maker.make(tmp_path, frames=range(1, 5), shots=shots))
    with pytest.raises(depths.DepthError, match="stands still"):
        add(empty_file, depth, depth.sequence.shots[1])
    (tmp_path / "plate" / "plate.0002.png").unlink()
    with pytest.raises(plates.PlateError, match="Frame 2 of the plate is missing"):
        add(empty_file, depth, depth.sequence.shots[0])
    assert compositor_nodes.find_scene_tree(empty_file) is None
    assert not empty_file.view_layers[0].use_pass_z


def test_what_was_deleted_is_added_again(depth):
    scene = bpy.context.scene
    shot = depth.sequence.shots[0]
    node = add_fog(scene, depth, shot)
    tree = compositor_nodes.find_scene_tree(scene)
    group = nodes.input_of(node, "Z").links[0].from_node.node_tree
    nodes.input_of(node, "Density").default_value = 0.321
    tree.nodes.remove(nodes.input_of(node, "Z").links[0].from_node)
    assert add_fog(scene, depth, shot) == node
    assert nodes.input_of(node, "Z").links[0].from_node.node_tree == group
    assert nodes.input_of(node, "Has Depth").is_linked
    assert nodes.input_of(node, "Density").default_value == pytest.approx(0.321)
    source = nodes.input_of(node, "Image").links[0].from_socket
    nodes.feed(compositor_nodes.result(tree), source)
    tree.nodes.remove(node)
    again = add_fog(scene, depth, shot)
    assert compositor_nodes.result(tree).links[0].from_node == again


@pytest.mark.parametrize("add", EFFECTS)
def test_a_clip_that_moved_on_the_timeline_moves_plate_and_depth(depth, tmp_path, add):
    scene = bpy.context.scene
    shot = depth.sequence.shots[0]
    cameras.build_camera(depth, shot, scene=scene)
    node = add(scene, depth, shot)
    moved = depths.load(depth.folder, frame_offset=50)
    assert add(scene, moved, moved.sequence.shots[0]) == node
    tree = compositor_nodes.find_scene_tree(scene)
    group = next(n for n in tree.nodes if n.label == "Fathom Depth")
    plate = next(n for n in tree.nodes if n.get("fathom_kind") == "comp_plate")
    compositor.prepare(scene, (16, 9))
    compositor.show(scene, nodes.output_of(group, "Disparity"))
    found = compositor.render(scene, tmp_path, 52)[..., 0]
    np.testing.assert_allclose(found, depth_maker.slanted(2, 16, 9), rtol=1e-5)
    compositor.show(scene, nodes.output_of(plate, "Image"))
    found = compositor.render(scene, tmp_path, 52)[..., :3]
    np.testing.assert_allclose(found, compositor.plate(2, (16, 9)), atol=3e-4)


def test_copies_of_groups_that_the_artist_made_stay_when_effects_are_added_again(depth, empty_file):
    shot, tree = depth.done_shots[0], compositor_nodes.scene_tree(empty_file)
    add_fog(empty_file, depth, shot)
    add_depth_matte(empty_file, depth, shot)
    own = {}
    for node in tree.nodes:
        if node.bl_idname == "CompositorNodeGroup":
            node.node_tree = own[node.name] = node.node_tree.copy()
    moved = depths.load(depth.folder, frame_offset=20)
    for each in (depth, moved):
        add_fog(empty_file, each, shot)
        add_depth_matte(empty_file, each, shot)
        assert {name: tree.nodes[name].node_tree for name in own} == own
    (maps,) = (group for group in own.values() if tags.text(group, tags.KIND).startswith("comp_depth"))
    assert maps[tags.OFFSET] == 20
    fog = next(node for node in tree.nodes if node.label == "Fog")
    theirs = fog.node_tree
    theirs.interface.remove(next(item for item in theirs.interface.items_tree if item.name == "Density"))
    add_fog(empty_file, moved, shot)
    assert fog.node_tree != theirs, "one that lacks an input is made again"


def test_the_plate_of_another_estimate_in_the_folder_takes_the_place_of_the_one_before(depth, empty_file):
    tree = compositor_nodes.scene_tree(empty_file)
    add_fog(empty_file, depth, depth.done_shots[0])
    shown = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeImage")
    plate = Path(depth.source.path)
    shutil.copytree(plate, plate.with_name("plate_v2"))
    sidecar = depth.folder / depth_sequence.SIDECAR
    sidecar.write_text(sidecar.read_text().replace('"../plate"', '"../plate_v2"'))
    add_depth_matte(empty_file, depths.load(depth.folder), depth.done_shots[0])
    assert Path(shown.image.filepath).parent == plate.with_name("plate_v2")


def test_an_image_in_the_place_of_the_plate_keeps_its_frames(depth, empty_file):
    tree = compositor_nodes.scene_tree(empty_file)
    add_fog(empty_file, depth, depth.done_shots[0])
    shown = next(node for node in tree.nodes if node.bl_idname == "CompositorNodeImage")
    shown.image = bpy.data.images.new("graded", 16, 9)
    shown.image.source = "SEQUENCE"
    shown.frame_offset, shown.frame_start, shown.frame_duration = 1000, 1, 6
    add_depth_matte(empty_file, depth, depth.done_shots[0])
    assert shown.image.name == "graded"
    assert (shown.frame_offset, shown.frame_start, shown.frame_duration) == (1000, 1, 6)


def test_effects_survive_a_saved_file_with_drivers_and_frames(depth, tmp_path):
    scene = bpy.context.scene
    shot = depth.sequence.shots[0]
    cameras.build_camera(depth, shot, scene=scene)
    add_fog(scene, depth, shot)
    compositor.prepare(scene, (16, 9))
    before = compositor.render(scene, tmp_path, 2)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    scene = bpy.context.scene
    np.testing.assert_allclose(compositor.render(scene, tmp_path, 2), before, atol=1e-6)
    count = len(compositor_nodes.find_scene_tree(scene).nodes)
    add_fog(scene, depths.load(depth.folder), shot)
    assert len(compositor_nodes.find_scene_tree(scene).nodes) == count
