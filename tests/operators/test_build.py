"""Building by operator is building by function, for the shots that are asked for."""

import shutil

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import compositing
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes

pytestmark = pytest.mark.usefixtures("empty_file")

IN_3D = ["build_camera", "build_depth_mesh", "build_fog"]
IN_COMPOSITOR = [
    "add_compositing_fog",
    "add_compositing_dof",
    "add_compositing_matte",
    "add_compositing_z_combine",
    "add_compositing_relight",
    "add_compositing_grade",
    "add_compositing_normals",
    "add_compositing_isolate",
    *(["add_compositing_stereo"] if compositor_nodes.is_deep() else []),
]


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def call(name, **arguments):
    return getattr(bpy.ops.fathom, name)(**arguments)


def kinds():
    return sorted(f"{o['fathom_kind']} {o.get('fathom_shot')}" for o in bpy.data.objects if "fathom_kind" in o)


def positions(name):
    mesh = bpy.data.objects[name].evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return [tuple(vertex.co) for vertex in mesh.vertices]


def test_the_operator_equals_the_function(listed):
    scene = bpy.context.scene
    call("build_depth_mesh")
    name = next(o.name for o in bpy.data.objects if o.get("fathom_kind") == "mesh")
    by_operator = positions(name)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    depth = depths.load(listed)
    shot = depth.done_shot_at(1)
    mesh = meshes.build_mesh(depth, shot, cameras.build_camera(depth, shot, scene=scene))
    assert mesh.name == name and positions(name) == by_operator and len(by_operator) >= 24 * 16


def test_the_built_mesh_is_active_and_can_be_applied(listed):
    assert not bpy.ops.fathom.apply_depth_mesh.poll()
    call("build_depth_mesh")
    mesh = bpy.context.view_layer.objects.active
    assert mesh["fathom_kind"] == "mesh" and bpy.context.selected_objects == [mesh]
    assert bpy.ops.fathom.apply_depth_mesh.poll()
    bpy.context.scene.frame_set(5)
    call("build_depth_mesh", all_shots=True)
    mesh = bpy.context.view_layer.objects.active
    assert (mesh["fathom_kind"], mesh["fathom_shot"]) == ("mesh", 4) and bpy.context.selected_objects == [mesh]


@pytest.mark.parametrize("name", IN_3D + IN_COMPOSITOR)
def test_every_builder_builds_the_shot_under_the_playhead_and_twice_doubles_nothing(listed, name):
    bpy.context.scene.frame_set(5)
    if name == "add_compositing_dof":
        call("build_camera")  # the focus is the camera's
    assert call(name) == {"FINISHED"}
    assert {k.split()[1] for k in kinds()} <= {"4"}

    def counts():
        trees = [len(tree.nodes) for tree in bpy.data.node_groups]
        return (kinds(), len(bpy.data.images), len(bpy.data.materials), len(bpy.data.node_groups), sorted(trees))

    once = counts()
    assert call(name) == {"FINISHED"} and counts() == once


@pytest.mark.parametrize("name", IN_3D + IN_COMPOSITOR)
def test_all_shots_are_built_on_request(listed, name):
    if name == "add_compositing_dof":
        call("build_camera")
    assert call(name, all_shots=True) == {"FINISHED"}
    if name in IN_3D:
        assert {k.split()[1] for k in kinds()} == {"1", "4"}
    else:
        groups = [g for g in bpy.data.node_groups if str(g.get("fathom_kind")).startswith("comp_depth")]
        assert {g["fathom_shot"] for g in groups} == {1, 4}


@pytest.mark.parametrize("name", IN_3D + IN_COMPOSITOR)
def test_an_unsupported_shot_is_declined_with_its_reason(listed, name):
    bpy.context.scene.frame_set(3)
    with pytest.raises(RuntimeError, match="The camera stands still"):
        call(name)
    assert not kinds()


@pytest.mark.parametrize("name", IN_3D + IN_COMPOSITOR)
def test_without_depth_the_way_is_shown(name):
    with pytest.raises(RuntimeError, match="estimate a clip's depth, or load a depth sequence"):
        call(name)


def test_a_script_names_the_depth_by_place_or_folder(tmp_path):
    first = depth_maker.make(tmp_path / "a", camera=filmed)
    second = depth_maker.make(tmp_path / "b", camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(first))
    bpy.ops.fathom.load_depth(directory=str(second), frame_offset=100)
    call("build_camera", depth=0)
    assert len(kinds()) == 2  # camera and rig
    call("build_camera", folder=str(second))
    assert len(kinds()) == 4
    cameras_built = [o for o in bpy.data.objects if o.get("fathom_kind") == "camera"]
    starts = sorted(o.animation_data.action.frame_range[0] for o in cameras_built)
    assert starts == [1.0, 101.0]  # the offset on the list holds for the folder too
    with pytest.raises(RuntimeError, match="no depth 2"):
        call("build_camera", depth=2)
    with pytest.raises(RuntimeError, match=r"no depth\.json"):
        call("build_camera", folder=str(tmp_path))


def test_the_known_lens_serves_where_the_estimator_gave_no_camera(tmp_path):
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path)))
    with pytest.raises(RuntimeError, match="give a focal length"):
        call("build_camera")
    kept = bpy.context.scene.fathom
    kept.use_focal_length, kept.focal_length, kept.sensor_width = True, 24.0, 24.0
    call("build_camera")
    assert bpy.context.scene.camera.data.lens / bpy.context.scene.camera.data.sensor_width == pytest.approx(1.0)
    call("build_camera", focal_length=72.0)
    assert bpy.context.scene.camera.data.lens / bpy.context.scene.camera.data.sensor_width == pytest.approx(2.0)


def test_the_mesh_keeps_the_focal_length_that_its_camera_was_given(tmp_path):
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path)))
    call("build_camera", focal_length=72.0)
    assert call("build_depth_mesh") == {"FINISHED"}
    camera = bpy.context.scene.camera.data
    assert camera.lens / camera.sensor_width == pytest.approx(2.0)
    camera.lens, camera.sensor_width = 48.0, 24.0
    camera.lens = 36.0  # the artist's word, since no estimator has found one
    call("build_fog")
    assert camera.lens / camera.sensor_width == pytest.approx(1.5)


def test_the_camera_button_takes_the_estimators_camera_again(listed):
    call("build_camera", focal_length=72.0)
    call("build_depth_mesh")
    camera = bpy.context.scene.camera
    assert camera.data.lens == pytest.approx(72.0) and not camera.animation_data
    call("build_camera")
    assert camera.data.lens == pytest.approx(26.0 / 24.0 * 36.0) and camera.animation_data.action


def test_a_shot_that_cannot_be_built_does_not_hold_up_the_others(tmp_path, capfd):
    shots = [(1, 2, "done"), (3, 5, "done")]
    folder = depth_maker.make(tmp_path, shots=shots, camera=lambda frames: filmed(frames) if 1 in frames else None)
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert call("build_depth_mesh", all_shots=True) == {"FINISHED"}  # so that it can be undone
    assert kinds() == ["camera 1", "mesh 1", "rig 1"]
    assert "gave no camera for frames 3-5" in "".join(capfd.readouterr())
    bpy.context.scene.frame_set(4)
    with pytest.raises(RuntimeError, match="gave no camera for frames 3-5"):
        call("build_depth_mesh")
    assert len(kinds()) == 3


def test_the_next_press_remembers_no_depth_lens_or_kind_of_mesh():
    for name in ("build_camera", "build_depth_mesh", "load_depth", "forget_depth"):
        properties = getattr(bpy.ops.fathom, name).get_rna_type().properties
        for each in {"depth", "folder", "focal_length", "points", "frame_offset"} & set(properties.keys()):
            assert properties[each].is_skip_save, f"{name}.{each}"


def test_the_render_size_follows_on_request(listed):
    scene = bpy.context.scene
    size = (scene.render.resolution_x, scene.render.resolution_y)
    call("build_camera")
    assert (scene.render.resolution_x, scene.render.resolution_y) == size
    call("build_camera", fit_render_size=True)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (24, 16)


def test_points_are_asked_for(listed):
    call("build_depth_mesh", points=True)
    assert any(o.get("fathom_kind") == "mesh" for o in bpy.data.objects)


def test_a_missing_plate_is_said_and_nothing_is_built(listed):
    (listed.parent / "plate" / "plate.0001.png").unlink()
    with pytest.raises(RuntimeError, match="Frame 1 of the plate is missing"):
        call("build_depth_mesh")
    assert not kinds()


def test_camera_and_fog_do_without_the_plate(listed, capfd):
    (listed.parent / "plate" / "plate.0001.png").unlink()
    assert call("build_fog") == {"FINISHED"}
    assert kinds() == ["camera 1", "fog 1", "rig 1"]
    assert "Frame 1 of the plate is missing" in "".join(capfd.readouterr())


def test_what_was_built_goes_with_a_depth_that_is_moved(listed, tmp_path):
    call("build_depth_mesh")
    call("build_fog")
    call("add_compositing_fog")
    before = kinds(), len(bpy.data.images) - 1, len(bpy.data.node_groups), len(bpy.data.materials)
    project = tmp_path / "project"
    project.mkdir()
    for name in (listed.name, "plate"):
        shutil.move(tmp_path / name, project / name)
    bpy.context.scene.fathom.depths[0].folder = str(project / listed.name)
    call("build_depth_mesh")
    call("build_fog")
    call("add_compositing_fog")
    plates = [i for i in bpy.data.images if i.get("fathom_kind") == "plate"]
    assert before == (kinds(), len(bpy.data.images) - len(plates), len(bpy.data.node_groups), len(bpy.data.materials))
    assert {i.get("fathom_kind") for i in bpy.data.images if str(project) in i.filepath} == {"disparity", "plate"}
    (background,) = bpy.context.scene.camera.data.background_images
    assert background.image.filepath.startswith(str(project))


def test_cameras_of_all_shots_are_cut_between(listed):
    call("build_camera", all_shots=True)
    call("build_camera", all_shots=True)
    assert sorted(marker.frame for marker in bpy.context.scene.timeline_markers) == [1, 4]


def test_every_builder_is_one_undo_step():
    for name in IN_3D + IN_COMPOSITOR + ["load_depth", "forget_depth"]:
        assert {"REGISTER", "UNDO"} <= getattr(bpy.types, f"FATHOM_OT_{name}").bl_options
    assert bpy.types.FATHOM_OT_estimate_video_depth.bl_options == {"UNDO"}


def test_the_limit_of_the_blur_is_asked_for_and_kept(listed):
    def limit():
        tree = compositor_nodes.find_scene_tree(bpy.context.scene)
        node = next(n for n in tree.nodes if n.get("fathom_kind") == "comp_defocus")
        return compositing.max_blur_of(node)

    bpy.context.scene.render.resolution_x = 1920
    assert call("add_compositing_dof") == {"FINISHED"} and limit() == 16
    assert call("add_compositing_dof", max_blur=40) == {"FINISHED"} and limit() == 40
    assert call("add_compositing_dof") == {"FINISHED"} and limit() == 40


def test_the_focus_is_picked_by_points_of_the_image(listed):
    assert call("pick_focus", points="0.5,0.5") == {"FINISHED"}
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    node = next(n for n in tree.nodes if n.get("fathom_kind") == "comp_defocus")
    first = node.inputs["Focus Distance"].default_value
    assert call("pick_focus", points="0.1,0.9") == {"FINISHED"}
    assert node.inputs["Focus Distance"].default_value != pytest.approx(first, rel=1e-3)
    with pytest.raises(RuntimeError, match="beside the image"):
        call("pick_focus", points="1.5,0.5")


def test_a_lamp_or_a_matte_that_is_not_there_is_said(listed):
    with pytest.raises(RuntimeError, match="no object Key"):
        call("add_compositing_relight", lamp="Key")
    with pytest.raises(RuntimeError, match="no image Roto"):
        call("add_compositing_isolate", matte="Roto")


def test_clips_on_the_same_frames_are_told_apart_in_a_sentence(tmp_path, capfd):
    for name in ("a", "b"):
        folder = depth_maker.make(tmp_path / name, plate_name=f"{name}.{{:04d}}.png")
        assert call("load_depth", directory=str(folder)) == {"FINISHED"}
        assert call("add_compositing_fog") == {"FINISHED"}
        said = "".join(capfd.readouterr())
        assert ("b has frames in common with a" in said) == (name == "b")
