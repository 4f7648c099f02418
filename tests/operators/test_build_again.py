"""Building again brings back what was deleted, and takes in what was left."""

import json
import shutil

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes

from tests.marks import rest_slow

pytestmark = pytest.mark.usefixtures("empty_file")


def call(name, **arguments):
    return getattr(bpy.ops.fathom, name)(**arguments)


def kinds():
    return sorted(f"{o['fathom_kind']} {o.get('fathom_shot')}" for o in bpy.data.objects if "fathom_kind" in o)


def positions(name):
    mesh = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return [tuple(vertex.co) for vertex in mesh.vertices]


def whole():
    """What there is of each kind, whether mesh and fog hang under the shot's camera and show something in its lens."""
    scene = bpy.context.scene
    scene.frame_set(1)
    bpy.context.view_layer.update()
    camera = next(o for o in scene.objects if o.get("fathom_kind") == "camera")
    things = [o for o in scene.objects if o.get("fathom_kind") in ("mesh", "fog")]
    assert len(things) == 2 and all(o.parent == camera and len(o.modifiers) == 1 for o in things)
    assert camera.parent["fathom_kind"] == "rig" and scene.camera == camera
    camera.data.lens *= 2
    half = {o.name: max(abs(x) for x, _y, _z in positions(o.name)) for o in things}
    camera.data.lens /= 2
    assert all(max(abs(x) for x, _y, _z in positions(name)) > 1.5 * half[name] for name in half)
    materials = {o["fathom_kind"]: nodes.modifier_input(o.modifiers[0], "Material").get("fathom_kind") for o in things}
    assert materials == {"mesh": "plate material", "fog": "fog material"}
    points = {o["fathom_kind"]: len(positions(o.name)) for o in things}
    return kinds(), points, len(bpy.data.materials), len(bpy.data.node_groups)


def delete(kind):
    bpy.data.objects.remove(next(o for o in bpy.data.objects if o.get("fathom_kind") == kind))


def as_the_artist_does(kind):
    thing = next(o for o in bpy.data.objects if o.get("fathom_kind") == kind)
    with bpy.context.temp_override(selected_objects=[thing], active_object=thing):
        bpy.ops.object.delete()


@pytest.mark.parametrize("remove", rest_slow([delete, as_the_artist_does]))
@pytest.mark.parametrize("gone", [["camera"], ["rig"], ["camera", "rig"], ["mesh"], ["camera", "fog"]])
def test_what_was_deleted_is_built_again_and_takes_in_the_rest(listed, gone, remove):
    for name in ("build_depth_mesh", "build_fog"):
        call(name)
    before = whole()
    for kind in gone:
        remove(kind)
    call("build_camera")  # alone: mesh and fog that are there hang under it again
    camera = next(o for o in bpy.data.objects if o.get("fathom_kind") == "camera")
    for thing in bpy.data.objects:
        assert thing.get("fathom_kind") not in ("mesh", "fog") or thing.parent == camera
    for name in ("build_depth_mesh", "build_fog"):
        call(name)
    assert whole() == before


def test_a_deleted_material_modifier_or_group_is_built_again(listed):
    for name in ("build_depth_mesh", "build_fog"):
        call(name)
    before = whole()

    def again():
        for name in ("build_depth_mesh", "build_fog"):
            call(name)
        return whole()

    for material in list(bpy.data.materials):
        bpy.data.materials.remove(material)
    assert again() == before
    for thing in bpy.data.objects:
        thing.modifiers.clear()
    assert again() == before
    for group in list(bpy.data.node_groups):
        bpy.data.node_groups.remove(group)
    assert again() == before


def test_markers_of_a_deleted_camera_are_its_successors(listed):
    call("build_camera", all_shots=True)
    delete("camera")
    call("build_camera", all_shots=True)
    assert sorted(m.frame for m in bpy.context.scene.timeline_markers) == [1, 4]
    assert all(m.camera is not None for m in bpy.context.scene.timeline_markers)


def test_the_artists_own_material_stays(listed):
    call("build_depth_mesh")
    mesh = next(o for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    nodes.set_modifier_input(mesh.modifiers[0], "Material", bpy.data.materials.new("Shadow Catcher"))
    call("build_depth_mesh")
    assert nodes.modifier_input(mesh.modifiers[0], "Material").name == "Shadow Catcher"


def test_a_group_of_an_earlier_version_gives_way_and_what_was_set_stays(listed):
    call("build_depth_mesh")
    mesh = next(o for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 0.4)
    group = mesh.modifiers[0].node_group
    group["fathom_kind"] = group["fathom_kind"].rpartition("/")[0] + "/0"
    call("build_depth_mesh")
    (modifier,) = mesh.modifiers
    assert modifier.node_group != group and nodes.modifier_input(modifier, "Edge Cut") == pytest.approx(0.4)


def test_the_compositors_scale_follows_the_next_rig(listed):
    call("build_camera")
    call("add_compositing_fog")
    delete("rig")
    call("build_camera")
    call("add_compositing_fog")
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    drivers = [curve.driver for curve in tree.animation_data.drivers]
    followed = [target.id for driver in drivers for variable in driver.variables for target in variable.targets]
    assert all(driver.is_valid for driver in drivers)
    assert all(followed) and "rig" in [block.get("fathom_kind") for block in followed]


def seen(frame):
    """How far the surface reaches at a frame, nearest and farthest, as Blender shows it."""
    bpy.context.scene.frame_set(frame)
    bpy.context.view_layer.update()
    mesh = next(o for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    return [round(reach(-z for _x, _y, z in positions(mesh.name)), 3) for reach in (min, max)]


@pytest.mark.parametrize("again", rest_slow(["load_depth", "build_depth_mesh"]))
@pytest.mark.parametrize(
    ("first", "then"),
    [("inverse_depth", "inverse_depth"), ("relative_disparity",) * 2, ("inverse_depth", "relative_disparity")],
)
def test_a_folder_that_holds_another_estimate_since_is_shown_as_it_is(tmp_path, first, then, again):
    """Blender keeps the maps that it has read; what a group has as constants is the first estimate's."""
    made = {}
    for name, quantity, scale in (("old", first, 1.0), ("new", then, 10.0)):
        made[name] = depth_maker.make(
            tmp_path / name,
            camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0),
            frames=range(1, 3),
            quantity=quantity,
            disparity=lambda frame, width, height, s=scale: s * depth_maker.slanted(frame, width, height) + s - 1,
        )
        data = json.loads((made[name] / "depth.json").read_text())
        (made[name] / "depth.json").write_text(json.dumps(data | {"fingerprint": name}))
    folder = made["old"]
    call("load_depth", directory=str(folder))
    for name in ("build_depth_mesh", "add_compositing_fog"):
        call(name)
    seen(1)
    for path in made["new"].iterdir():
        shutil.copy(path, folder / path.name)
    if again == "load_depth":
        call("load_depth", directory=str(folder))
    for name in ("build_depth_mesh", "add_compositing_fog"):
        call(name)
    shown = [seen(frame) for frame in (1, 2)]
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    group = next(node.node_tree for node in tree.nodes if node.get("fathom_kind") == "comp_depth")
    constants = {round(s.default_value, 4) for n in group.nodes for s in n.inputs if s.type == "VALUE"}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    call("load_depth", directory=str(folder))
    for name in ("build_depth_mesh", "add_compositing_fog"):
        call(name)
    assert shown == [seen(frame) for frame in (1, 2)]
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    group = next(node.node_tree for node in tree.nodes if node.get("fathom_kind") == "comp_depth")
    assert constants == {round(s.default_value, 4) for n in group.nodes for s in n.inputs if s.type == "VALUE"}


@pytest.mark.parametrize("limit", [None, 30.0])
def test_limits_follow_an_estimate_of_another_unit_unless_the_artist_has_set_them(tmp_path, limit):
    """Else everything would end at the far limit of the estimate before."""
    for name, scale in (("old", 1000.0), ("new", 1.0)):
        depth_maker.make(
            tmp_path / name,
            camera=lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0),
            frames=range(1, 3),
            disparity=lambda frame, width, height, s=scale: s * depth_maker.slanted(frame, width, height),
        )
    shown = tmp_path / "shown"
    shutil.copytree(tmp_path / "old" / "depth", shown)
    (shown / "depth.json").write_text((shown / "depth.json").read_text().replace("../plate", "../old/plate"))
    call("load_depth", directory=str(shown))
    builders = ("build_depth_mesh", "build_fog", "add_compositing_fog")
    for name in builders:
        call(name)
    before = _far_limits()
    if limit:
        for thing in bpy.data.objects:
            if thing.get("fathom_kind") in ("mesh", "fog"):
                nodes.set_modifier_input(thing.modifiers[0], "Far Limit", limit)
        _depth_node().inputs["Far Limit"].default_value = limit
    for path in (tmp_path / "new" / "depth").iterdir():
        shutil.copy(path, shown / path.name)
    data = json.loads((shown / "depth.json").read_text())
    data["source"]["path"] = "../old/plate"
    (shown / "depth.json").write_text(json.dumps(data | {"fingerprint": "new"}))
    call("load_depth", directory=str(shown))
    for _ in range(2):
        for name in builders:
            call(name)
    assert _far_limits() == pytest.approx([limit] * 3 if limit else [1000 * each for each in before], rel=1e-3)


def _depth_node():
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    return next(node for node in tree.nodes if node.get("fathom_kind") == "comp_depth")


def _far_limits():
    things = {thing.get("fathom_kind"): thing for thing in bpy.data.objects}
    limits = [nodes.modifier_input(things[kind].modifiers[0], "Far Limit") for kind in ("mesh", "fog")]
    return [*limits, _depth_node().inputs["Far Limit"].default_value]
