"""What a .blend file of somebody else brings: marks on the wrong things, numbers out of range, linked scenes."""

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract.job import JobError
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import (
    depth_list,
    estimation,
    fog,
    fog_light,
    lookup,
    mesh,
    missing_files,
    nodes,
    places,
    settings,
    source,
    tags,
    versions,
)
from bl_ext.dev.fathom.scene.compositing import compositor_nodes, strip_effects
from bl_ext.dev.fathom.scene.depth import DepthError

from tests.marks import rest_slow

BUILD = ("build_camera", "build_depth_mesh", "build_fog")
COMPOSE = ("add_compositing_fog", "add_compositing_dof", "add_compositing_matte", "add_compositing_z_combine")


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def press(names, **arguments):
    """Press buttons; what each says, empty where it built."""
    said = []
    for name in names:
        try:
            getattr(bpy.ops.fathom, name)(**arguments)
            said.append("")
        except RuntimeError as problem:
            assert "Traceback" not in str(problem), problem
            said.append(str(problem))
    return said


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with everything that is built of a depth, which takes seconds to build, and the depth's folder."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    folder = depth_maker.make(tmp_path_factory.mktemp("built"), camera=filmed, frames=range(1, 3))
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert press([*BUILD, *COMPOSE]) == [""] * 7
    file = folder.parent / "built.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    return file, folder


@pytest.fixture
def built(saved, empty_file):
    """A scene with everything that is built of a depth; its folder."""
    file, folder = saved
    bpy.ops.wm.open_mainfile(filepath=str(file))
    return folder


def marks(block):
    """Fathom's custom properties, of plain values that outlive the block."""
    return {name: list(value) if hasattr(value, "to_list") else value for name, value in block.items()}


def data_of(kind):
    make = {
        "EMPTY": lambda: None,
        "MESH": lambda: bpy.data.meshes.new("theirs"),
        "CAMERA": lambda: bpy.data.cameras.new("theirs"),
        "LIGHT": lambda: bpy.data.lights.new("theirs", "POINT"),
        "CURVE": lambda: bpy.data.curves.new("theirs", "CURVE"),
        "ARMATURE": lambda: bpy.data.armatures.new("theirs"),
    }
    return make[kind]()


def test_fog_with_another_group_under_our_mark_is_none_in_panels(built):
    from bl_ext.dev.fathom.scene import fog, fog_look

    scene = bpy.context.scene
    job = scene.fathom.depths[0].job
    thing = fog.fog_shown(scene, job)
    assert thing is not None
    ours = fog_look.modifier_of(thing).node_group
    theirs = bpy.data.node_groups.new("0", "GeometryNodeTree")
    theirs.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    for name, value in marks(ours).items():
        theirs[name] = value
    fog_look.modifier_of(thing).node_group = theirs
    assert fog.fog_shown(scene, job) is None
    theirs.interface.new_socket("Frame Offset", in_out="INPUT", socket_type="NodeSocketString")
    for name in ("Shown From", "Shown To"):
        theirs.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketColor")
    assert fog.fog_shown(scene, job) is None
    press(["fog_preset", "light_fog", "unlight_fog"])


def test_fog_with_another_look_under_our_mark_is_not_drawn(built):
    from bl_ext.dev.fathom.scene import fog, fog_look
    from bl_ext.dev.fathom.scene.viewing import fog_preview

    thing = fog.fog_shown(bpy.context.scene, bpy.context.scene.fathom.depths[0].job)
    look = fog_look.look_of(thing)
    assert fog_preview.values_of(thing, look)["Start"] > 0
    theirs = bpy.data.node_groups.new("0", "ShaderNodeTree")
    for name, value in marks(look.node_tree).items():
        theirs[name] = value
    look.node_tree = theirs
    assert fog_look.look_of(thing) == look and fog_preview.values_of(thing, look) is None
    for name in ("Density", "Color", "Brightness", "By Height", "Floor Height", "Top", "Height Falloff", "Scale"):
        theirs.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketVector")
    assert fog_preview.values_of(thing, look) is None


def test_a_fogs_look_out_of_range_ends_in_a_sentence_at_most(built):
    from bl_ext.dev.fathom.scene import fog, fog_look

    thing = fog.fog_shown(bpy.context.scene, bpy.context.scene.fathom.depths[0].job)
    look = fog_look.look_of(thing)
    for value in (1.0, -1.0, 7.0, float("inf")):
        look.node_tree.interface.items_tree["Anisotropy"].max_value = 1e9
        nodes.input_of(look, "Anisotropy").default_value = value
        press(["light_fog", "fog_preset", "unlight_fog"])


@pytest.mark.parametrize("form", rest_slow(["EMPTY", "MESH", "CAMERA", "LIGHT", "CURVE", "ARMATURE"], 2))
@pytest.mark.parametrize("kind", ["camera", "rig", "mesh", "fog"])
def test_an_object_of_another_type_under_our_mark_is_none_of_ours(built, kind, form):
    ours = next(thing for thing in bpy.data.objects if thing.get(tags.KIND) == kind)
    theirs = bpy.data.objects.new("0", data_of(form))
    for name, value in marks(ours).items():
        theirs[name] = value
    bpy.context.scene.collection.objects.link(theirs)
    bpy.data.objects.remove(ours)
    assert press(BUILD) == [""] * 3
    found = [thing for thing in bpy.data.objects if thing.get(tags.KIND) == "camera" and thing.type == "CAMERA"]
    assert len(found) == 1


@pytest.mark.parametrize(
    "form", rest_slow(["ShaderNodeTree", "GeometryNodeTree", "CompositorNodeTree", "TextureNodeTree"])
)
def test_a_node_group_of_another_type_under_our_mark_is_none_of_ours(built, form):
    """A modifier that is given a group of another type crashes Blender 5.0."""
    for ours in [group for group in bpy.data.node_groups if group.get(tags.KIND)]:
        kept, is_form = marks(ours), ours.bl_idname == form
        del ours[tags.KIND]
        if not is_form:
            theirs = bpy.data.node_groups.new("0", form)
            for name, value in kept.items():
                theirs[name] = value
    for thing in [thing for thing in bpy.data.objects if thing.get(tags.KIND) in ("mesh", "fog")]:
        bpy.data.objects.remove(thing)
    said = press([*BUILD, *COMPOSE])
    assert said[:3] == [""] * 3
    for group in bpy.data.node_groups:
        kind = tags.text(group, tags.KIND)
        if kind:
            assert lookup.find(kind, among="node_groups", form="none") is None


@pytest.mark.parametrize(
    "form",
    rest_slow(["NodeFrame", "NodeReroute", "CompositorNodeImage", "CompositorNodeGroup", "CompositorNodeBlur"], 2),
)
@pytest.mark.parametrize("kind", ["comp_depth", "comp_frame", "comp_plate", "comp_fog", "comp_merge", "comp_viewer"])
def test_a_node_of_another_type_under_our_mark_ends_in_a_sentence_at_most(built, kind, form):
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    for name in [node.name for node in tree.nodes if node.get(tags.KIND) == kind]:
        kept = marks(tree.nodes[name])
        tree.nodes.remove(tree.nodes[name])
        theirs = tree.nodes.new(form)
        for key, value in kept.items():
            theirs[key] = value
    press(COMPOSE)


@pytest.mark.skipif(bpy.app.version >= (5, 2, 0), reason="inputs of modifiers have types there")
@pytest.mark.parametrize("value", rest_slow([None, 1, 0.5, "x", [1, 2], {"a": 1}], 2))
def test_inputs_of_a_modifier_that_are_something_else_are_set_again(built, value):
    things = [thing for thing in bpy.data.objects if thing.get(tags.KIND) in ("mesh", "fog")]
    for modifier in (thing.modifiers[0] for thing in things):
        modifier.id_data.animation_data_clear()
        for name in list(modifier.keys()):
            del modifier[name]
            if value is not None:
                modifier[name] = value
    assert press(BUILD) == [""] * 3
    for thing in things:
        modifier = thing.modifiers[0]
        assert nodes.modifier_input(modifier, "Map Width") == 24 and nodes.modifier_input(modifier, "Disparity").users
        assert tags.text(nodes.modifier_input(modifier, "Material"), tags.KIND).endswith("material")
        assert len(thing.animation_data.drivers) == 3


@pytest.mark.parametrize("value", rest_slow([[[1, 2], [3, 4]], [1, 2], {"a": 1}, "text"]))
def test_marks_of_strips_effects_that_are_something_else_end_in_no_traceback(built, value):
    if not strip_effects.IS_THERE:
        pytest.skip("from Blender 5.2 on")
    scene, files = bpy.context.scene, sorted((built.parent / "plate").iterdir())
    strip = versions.strips_of(scene.sequence_editor_create()).new_image("plate", str(files[0]), 1, 1)
    strip.elements.append(files[1].name)
    depth = depth_list.load(scene)
    group = strip_effects.add(strip, scene, depth, depth.done_shots[0], "FOG").node_group
    group[tags.OFFSET] = value
    assert "shows plate at other frames than its effects" in missing_files.of_file()[0]
    group[tags.SHOT] = group[tags.VALUES] = value
    assert len(missing_files.of_file()) <= 1
    assert strip_effects.add(strip, scene, depth, depth.done_shots[0], "FOG").node_group[tags.OFFSET] == 0


@pytest.mark.parametrize("kind", ["plate material", "fog material"])
def test_a_material_without_nodes_is_given_some(built, kind):
    ours = next(material for material in bpy.data.materials if material.get(tags.KIND) == kind)
    theirs = bpy.data.materials.new("0")
    for name, value in marks(ours).items():
        theirs[name] = value
    bpy.data.materials.remove(ours)
    assert press(BUILD) == [""] * 3


def test_a_render_under_the_mark_of_maps_is_none(built):
    scene = bpy.context.scene
    ours = next(image for image in bpy.data.images if image.get(tags.KIND) == "disparity")
    kept = marks(ours)
    bpy.data.images.remove(ours)
    scene.render.engine, scene.render.use_compositing = "CYCLES", False
    scene.cycles.samples, scene.render.resolution_x, scene.render.resolution_y = 1, 8, 8
    bpy.ops.render.render()
    result = next(image for image in bpy.data.images if image.type == "RENDER_RESULT")
    for name, value in kept.items():
        result[name] = value
    result.filepath = str(built / "disparity.0001.exr")
    assert press([*BUILD, *COMPOSE]) == [""] * 7


@pytest.mark.parametrize("offset", [2**31 - 1, -(2**31), 2**30])
def test_an_offset_beyond_every_timeline_is_one_sentence_wherever_it_stands(built, offset):
    bpy.context.scene.fathom.depths[0].frame_offset = offset
    for said in (press([*BUILD, *COMPOSE], folder=str(built)), press([*BUILD, *COMPOSE])):
        assert all(f"The frame offset {offset} leads beyond Blender's timeline" in sentence for sentence in said)
    (said,) = press(["load_depth"], directory=str(built))
    assert "leads beyond" in said
    assert press(["load_depth"], directory=str(built), frame_offset=0) == [""]


def stored(scene):
    """Fathom's settings as the file holds them, where no limits are kept."""
    if bpy.app.version >= (5, 0, 0):
        return scene.bl_system_properties_get()["fathom"]
    return scene["fathom"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("sensor_width", 0.0), ("sensor_width", float("nan")), ("sensor_width", -1.0)]
    + [("focal_length", value) for value in (0.0, -1.0, float("nan"), float("inf"))],
)
def test_a_lens_that_is_none_is_one_sentence(tmp_path, empty_file, name, value):
    folder = depth_maker.make(tmp_path, camera=None)
    bpy.ops.fathom.load_depth(directory=str(folder))
    empty_file.fathom.use_focal_length = True
    stored(empty_file)[name] = value
    assert all("must be above 0 mm" in sentence for sentence in press(BUILD))
    plate = source.from_file(tmp_path / "plate" / "plate.0001.png")
    with pytest.raises(JobError):
        estimation.prepare(plate, settings.from_scene(empty_file), root=tmp_path / "out")


def test_nothing_is_done_in_a_scene_that_is_linked(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    empty_file.name = "Theirs"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "theirs.blend"), link=True) as (_, wanted):
        wanted.scenes = ["Theirs"]
    bpy.context.window.scene = linked = next(scene for scene in bpy.data.scenes if scene.library)
    told = [*press(["load_depth"], directory=str(folder)), *press([*BUILD, *COMPOSE], folder=str(folder))]
    told += press(["estimate_video_depth"], filepath=str(tmp_path / "plate" / "plate.0001.png"), output=str(tmp_path))
    assert all("The scene Theirs is linked from" in sentence for sentence in told)
    assert not len(linked.fathom.depths) and not len(linked.objects)
    with pytest.raises(DepthError, match="is linked"):
        cameras.build_camera(depths.load(folder), depths.load(folder).sequence.shots[0], scene=linked)


def linked(folder, *names):
    """A new file in which collections of another are linked, in the scene."""
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "theirs.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(folder / "theirs.blend"), link=True) as (_, wanted):
        wanted.collections = list(names)
    for collection in list(bpy.data.collections):
        bpy.context.scene.collection.children.link(collection)
    return bpy.context.scene


def test_what_stands_under_a_camera_that_is_linked_is_of_the_scene(tmp_path, empty_file):
    """The shot's camera comes from a layout as a rule."""
    depth = depths.load(depth_maker.make(tmp_path, camera=filmed))
    theirs = bpy.data.collections.new("Layout")
    empty_file.collection.children.link(theirs)
    theirs.objects.link(bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot")))
    scene = linked(tmp_path, "Layout")
    for build in (mesh.build_mesh, fog.build_fog):
        made = build(depth, depth.done_shots[0], bpy.data.objects["Shot"])
        assert made.name in scene.collection.objects and made.parent == bpy.data.objects["Shot"]
    assert fog_light.add_light(made, scene).name in scene.collection.objects


def test_a_depth_mesh_that_is_linked_is_applied_in_the_scene(tmp_path, empty_file):
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path, camera=filmed)))
    assert press(["build_depth_mesh"]) == [""]
    scene = linked(tmp_path, "plate")
    live = next(thing for thing in scene.objects if thing.get(tags.KIND) == "mesh")
    bpy.context.view_layer.objects.active = live
    assert press(["apply_depth_mesh"]) == [""]
    assert bpy.context.object.name in scene.collection.objects
    with bpy.data.libraries.load(str(tmp_path / "theirs.blend"), link=True) as (_, wanted):
        wanted.scenes = ["Scene"]
    theirs = next(each for each in bpy.data.scenes if each.library)
    with pytest.raises(DepthError, match="is linked"):
        mesh.apply_at_frame(live, theirs)


@pytest.mark.skipif(bpy.app.version < (5, 0, 0), reason="the compositor's tree is part of the scene there")
def test_nothing_is_added_to_a_compositor_that_is_linked(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    group = bpy.data.node_groups.new("Theirs", "CompositorNodeTree")
    group.use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "theirs.blend"), link=True) as (_, wanted):
        wanted.node_groups = ["Theirs"]
    scene = bpy.context.scene
    scene.compositing_node_group = next(group for group in bpy.data.node_groups if group.library)
    bpy.ops.fathom.load_depth(directory=str(folder))
    told = press(COMPOSE)
    assert all("The compositor's node group Theirs is linked from" in sentence for sentence in told)
    assert not len(scene.compositing_node_group.nodes)


def test_no_file_has_the_artist_ask_for_a_whole_disk(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, camera=filmed)
    text = (folder / "depth.json").read_text()
    (folder / "depth.json").write_text(text.replace('"../plate"', '"/"'))
    places._asked.clear()
    bpy.ops.fathom.load_depth(directory=str(folder))
    press(BUILD)
    assert depth_list.load(empty_file).source.path == "/"
    assert not places.may_look("/canary/share")
