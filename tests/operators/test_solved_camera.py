"""The solved camera from the buttons: used, shown, removed, exported, and set as a depth had it."""

from dataclasses import replace

import bpy
import depth_maker
import pytest
import solve_maker
from bl_ext.dev.fathom.inference.contract import camera_files
from bl_ext.dev.fathom.operators import command_line
from bl_ext.dev.fathom.panels import estimate as panels
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import settings, solved_camera, source
from bl_ext.dev.fathom.scene.problems import Problem
from bl_ext.dev.fathom.scene.versions import strips_of
from drawing import drawn


@pytest.fixture
def clip(empty_file, tmp_path):
    """A clip that is solved but for its first and last frames."""
    return solve_maker.make(tmp_path / "street", frames=range(6, 19))


def job_of(scene, clip, folder):
    shown = source.from_clip(clip)
    return settings.make_job(shown, settings.from_scene(scene), output=folder / "out")


def buttons(scene):
    found = drawn(panels._draw_camera, scene.fathom)
    return [(button.name, getattr(button, "what", "")) for button in found.buttons], found.texts


def test_the_solve_of_a_clip_is_used_until_it_is_removed(empty_file, clip, tmp_path):
    assert buttons(empty_file)[0][0] == ("fathom.use_solved_camera", "SOLVE")
    assert job_of(empty_file, clip, tmp_path).camera is None
    assert bpy.ops.fathom.use_solved_camera(what="SOLVE", clip=clip.name) == {"FINISHED"}
    camera = job_of(empty_file, clip, tmp_path).camera
    assert [pose.frame for pose in camera.poses] == list(range(1006, 1019)) and camera.origin == f"SOLVE {clip.name}"
    assert buttons(empty_file) == ([("fathom.use_solved_camera", "NONE")], ["<camera>", "<camera_clip>"])
    bpy.ops.fathom.use_solved_camera(what="NONE")
    assert job_of(empty_file, clip, tmp_path).camera is None


def test_a_strip_has_the_solve_of_the_clip_with_its_file(empty_file, clip, tmp_path):
    first = tmp_path / "street" / "plate.1001.png"
    strip = strips_of(empty_file.sequence_editor_create()).new_image("street", str(first), 1, 1)
    for number in range(1002, 1025):
        strip.elements.append(f"plate.{number}.png")
    assert bpy.ops.fathom.use_solved_camera(what="SOLVE", strip="street") == {"FINISHED"}
    plate = source.from_strip(strip, empty_file)
    job = settings.make_job(plate, settings.from_scene(empty_file), output=tmp_path / "out")
    assert job.camera == solved_camera.of_clip(clip, plate).camera


def test_the_scenes_camera_is_used(empty_file, clip, tmp_path):
    with pytest.raises(RuntimeError, match="The scene has no camera"):
        bpy.ops.fathom.use_solved_camera(what="CAMERA", clip=clip.name)
    with pytest.raises(RuntimeError, match="There is no object matchmove"):
        bpy.ops.fathom.use_solved_camera(what="CAMERA", clip=clip.name, camera="matchmove")
    assert empty_file.fathom.camera == "NONE"
    camera = bpy.data.objects.new("matchmove", bpy.data.cameras.new("matchmove"))
    empty_file.collection.objects.link(camera)
    empty_file.render.resolution_x, empty_file.render.resolution_y = solve_maker.SIZE
    bpy.ops.fathom.use_solved_camera(what="CAMERA", clip=clip.name, camera="matchmove")
    job = job_of(empty_file, clip, tmp_path)
    assert job.camera.origin == "CAMERA matchmove" and len(job.camera.poses) == 24
    assert buttons(empty_file)[1] == ["<camera>", "<camera_object>"]


def test_an_exported_camera_is_used_from_its_file(empty_file, clip, tmp_path):
    with pytest.raises(RuntimeError):  # there is none to export
        bpy.ops.fathom.export_solved_camera(clip=clip.name, filepath=str(tmp_path / "camera.json"))
    bpy.ops.fathom.use_solved_camera(what="SOLVE", clip=clip.name)
    wanted = job_of(empty_file, clip, tmp_path)
    bpy.ops.fathom.export_solved_camera(clip=clip.name, filepath=str(tmp_path / "camera.json"))
    bpy.ops.fathom.use_camera_file(clip=clip.name, filepath=str(tmp_path / "camera.json"))
    assert empty_file.fathom.camera == "FILE"
    assert job_of(empty_file, clip, tmp_path).fingerprint() == wanted.fingerprint()
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(RuntimeError, match="no camera path that Fathom knows"):
        bpy.ops.fathom.use_camera_file(clip=clip.name, filepath=str(tmp_path / "other.json"))
    assert empty_file.fathom.camera_file.endswith("camera.json")


def test_a_chan_has_the_order_of_its_rotations_in_the_panel(empty_file, clip, tmp_path):
    rows = [f"{number} {number - 1001} 0 0 10 20 30 40" for number in range(1001, 1025)]
    (tmp_path / "camera.chan").write_text("\n".join(rows))
    bpy.ops.fathom.use_camera_file(clip=clip.name, filepath=str(tmp_path / "camera.chan"))
    assert "<rotation_order>" in buttons(empty_file)[1]
    nukes = job_of(empty_file, clip, tmp_path).camera
    empty_file.fathom.rotation_order = "XYZ"
    assert job_of(empty_file, clip, tmp_path).camera.poses != nukes.poses
    wanted = camera_files.load(tmp_path / "camera.chan", width=128, height=72)
    assert nukes.poses == wanted.poses


def test_the_command_declines_what_is_no_camera(empty_file, clip, tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    arguments = ["estimate", str(tmp_path / "street"), "--output", str(tmp_path / "out")]
    assert command_line.main([*arguments, "--camera", str(tmp_path / "other.json")]) != 0
    assert "no camera path that Fathom knows" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_file_without_a_solve_is_declined(empty_file, tmp_path):
    clip = solve_maker.make(tmp_path / "street", solve=False)
    with pytest.raises(RuntimeError, match="is not solved: track points in the Movie Clip Editor"):
        bpy.ops.fathom.use_solved_camera(what="SOLVE", clip=clip.name)
    assert empty_file.fathom.camera == "NONE"


def test_the_settings_of_a_depth_name_its_camera(empty_file, clip, tmp_path):
    depth = depths.load(depth_maker.make(tmp_path / "depth"))

    def estimated_with(origin):
        return replace(depth, sequence=replace(depth.sequence, estimator="parallax", parameters={}, camera=origin))

    settings.to_scene(empty_file, estimated_with(f"SOLVE {clip.name}"))
    assert (empty_file.fathom.camera, empty_file.fathom.camera_clip) == ("SOLVE", clip)
    settings.to_scene(empty_file, estimated_with(""))
    assert empty_file.fathom.camera == "NONE"
    with pytest.raises(Problem, match=r"a camera that this file does not have \(Gone\)"):
        settings.to_scene(empty_file, estimated_with("CAMERA Gone"))
    assert empty_file.fathom.camera == "NONE"
