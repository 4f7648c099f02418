"""Lens and mattes that Blender knows become settings by one press."""

from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.panels import parts
from bl_ext.dev.fathom.scene import settings, source
from bl_ext.dev.fathom.scene.versions import strips_of
from drawing import drawn


def lens(scene):
    found = settings.from_scene(scene)
    return found.focal_length, found.sensor_width


def test_the_lens_of_a_clips_tracking_camera(empty_file, tmp_path):
    image = tmp_path / "street.0001.png"
    depth_maker.write_png(image, depth_maker.smooth_image(1, 64, 48))
    clip = bpy.data.movieclips.load(str(image))
    clip.tracking.camera.sensor_width, clip.tracking.camera.focal_length = 23.5, 28.0
    assert bpy.ops.fathom.use_lens(what="CLIP", clip=clip.name) == {"FINISHED"}
    assert lens(empty_file) == pytest.approx((28.0, 23.5))


def test_the_lens_of_the_scenes_camera(empty_file):
    with pytest.raises(RuntimeError, match="no perspective camera"):
        bpy.ops.fathom.use_lens(what="CAMERA")
    data = bpy.data.cameras.new("camera")
    empty_file.camera = bpy.data.objects.new("camera", data)
    data.lens, data.sensor_width = 35.0, 32.0
    empty_file.render.resolution_x, empty_file.render.resolution_y = 1920, 1080
    bpy.ops.fathom.use_lens(what="CAMERA")
    assert lens(empty_file) == pytest.approx((35.0, 32.0))
    empty_file.render.resolution_x, empty_file.render.resolution_y = 1080, 1920
    bpy.ops.fathom.use_lens(what="CAMERA")
    assert lens(empty_file) == pytest.approx((35.0, 18.0)), "the sensor's width lies along the longer side"
    data.sensor_fit, data.sensor_height = "VERTICAL", 24.0
    bpy.ops.fathom.use_lens(what="CAMERA")
    assert lens(empty_file) == pytest.approx((35.0, 13.5))


def test_mattes_of_a_strip_reach_the_job(empty_file, tmp_path):
    depth_maker.make(tmp_path)
    editor = empty_file.sequence_editor_create()
    plates = sorted((tmp_path / "plate").iterdir())
    mattes, street = (
        strips_of(editor).new_image(name, str(plates[0]), n, 1) for n, name in ((1, "mattes"), (2, "street"))
    )
    for strip in (mattes, street):
        strip.select = True
    editor.active_strip = street
    assert bpy.ops.fathom.use_mattes() == {"FINISHED"}
    plate = source.Plate(
        source=Source(kind="movie", path="/street.mov", width=64, height=48), first_frame=1, last_frame=5, scene_start=1
    )
    job = settings.make_job(plate, settings.from_scene(empty_file), output=tmp_path / "out")
    assert job.mattes == str(tmp_path / "plate")
    mattes.select = False
    with pytest.raises(RuntimeError, match="Select the image strip"):
        bpy.ops.fathom.use_mattes()


def test_mattes_beside_an_unsaved_file_are_declined(empty_file, tmp_path):
    plate = SimpleNamespace(source=Source(kind="movie", path="/street.mov"), first_frame=1, last_frame=5)
    with pytest.raises(ValueError, match="not saved"):
        settings.make_job(plate, settings.Settings(mattes="//mattes"), output=tmp_path)


def test_messages_that_ask_for_them_offer_them():
    text = "It cannot be solved. Set the [[focal_length]] if you know it, or provide [[mattes]] of what moves."
    layout = drawn(parts.draw_advice, text, icon="INFO", width=300)
    assert [button.name.removeprefix("fathom.") for button in layout.buttons] == [
        "use_lens", "use_lens", "make_mattes", "use_mattes"
    ]  # fmt: skip
    assert "Focal Length" in " ".join(layout.texts) and "Matte Folder" in " ".join(layout.texts)
    assert not drawn(parts.draw_advice, "The clip is too short.", icon="INFO", width=300).buttons
