"""A strip of the depth lies over its plate, in step, and shows the range of each shot."""

import shutil

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth as depth_module
from bl_ext.dev.fathom.scene import depth_list, depth_strip, missing_files
from bl_ext.dev.fathom.scene.versions import strips_of, times_of


def rendered(scene, path):
    """The Sequencer's codes [H, W] of the current frame, top row first."""
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth = "OPEN_EXR", "32"
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    width, height = image.size
    linear = np.array(image.pixels[:], np.float64).reshape(height, width, 4)[::-1, :, 0]
    bpy.data.images.remove(image)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("low, high", [(0.2, 0.7), (300.0, 310.0), (-2.0, 5.0), (0.001, 8.0)])
def test_it_is_gray_between_the_percentiles(empty_file, tmp_path, low, high):
    ramp = lambda frame, width, height: np.linspace(low, high, width)[None].repeat(height, 0)  # noqa: E731
    depth = depth_module.load(depth_maker.make(tmp_path, size=(48, 32), disparity=ramp), frame_offset=10)
    render = empty_file.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 48, 32, 100
    render.use_sequencer = True
    (strip,) = depth_strip.add(depth, empty_file)
    empty_file.frame_set(12)
    values = depth.sequence.shots[0].range
    expected = np.clip((ramp(2, 48, 32) - values.p1) / (values.p99 - values.p1), 0, None)
    assert np.abs(rendered(empty_file, tmp_path / "strip.exr") - expected).max() < 2e-3
    assert (times_of(strip).left, times_of(strip).right) == (11, 16)


def test_it_lies_over_the_strip_of_the_plate(empty_file, tmp_path):
    folder = depth_maker.make(
        tmp_path, size=(24, 16), plate_size=(48, 32), shots=[(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
    )
    plates = sorted((tmp_path / "plate").iterdir())
    plate = strips_of(empty_file.sequence_editor_create()).new_image("street", str(plates[0]), 3, 101)
    for each in plates[1:]:
        plate.elements.append(each.name)
    empty_file.sequence_editor.active_strip = plate
    plate.transform.scale_x, plate.transform.offset_y, plate.crop.min_x = 1.5, 7.0, 8
    first, second = depth_strip.add(depth_module.load(folder), empty_file)
    assert (times_of(first).left, times_of(second).left, first.channel, second.channel) == (101, 104, 4, 4)
    assert [element.filename for element in second.elements] == ["disparity.0004.exr", "disparity.0005.exr"]
    assert (first.transform.scale_x, first.transform.scale_y, first.transform.offset_y) == (3.0, 2.0, 7.0)
    assert first.crop.min_x == 4
    assert empty_file.sequence_editor.active_strip == plate


def test_without_a_place_for_it_no_strip_is_added(empty_file, tmp_path):
    folder = depth_maker.make(tmp_path)
    with pytest.raises(depth_module.DepthError, match="frames 1048572-1048576 of the depth of plate lie beyond"):
        depth_strip.add(depth_module.load(folder, frame_offset=1_048_571), empty_file)
    assert len(depth_strip.add(depth_module.load(folder, frame_offset=1_048_569), empty_file)) == 1
    top = strips_of(empty_file.sequence_editor)[0]
    top.channel = 128
    with pytest.raises(depth_module.DepthError, match="free channel 128"):
        depth_strip.add(depth_module.load(folder), empty_file)
    assert len(strips_of(empty_file.sequence_editor)) == 1


def test_a_linked_scene_gets_no_strip(empty_file, tmp_path):
    depth = depth_module.load(depth_maker.make(tmp_path))
    empty_file.sequence_editor_create()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "other.blend"), link=True) as (there, here):
        here.scenes = there.scenes
    (linked,) = here.scenes
    with pytest.raises(depth_module.DepthError, match="is linked from"):
        depth_strip.add(depth, linked)
    assert len(strips_of(linked.sequence_editor)) == 0


def test_a_strip_of_an_earlier_estimate_in_the_folder_is_said(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path)
    depth_list.remember(empty_file, depth_module.load(folder))
    (strip,) = depth_strip.add(depth_module.load(folder), empty_file)
    assert missing_files.of_file() == []
    for made in ("depth", "plate"):
        shutil.rmtree(tmp_path / made)
    depth_maker.make(tmp_path, disparity=lambda n, w, h: 10 * depth_maker.slanted(n, w, h))
    (said,) = missing_files.of_file()
    assert said.endswith(f"since the strip {strip.name} was added: delete it and add it again.")
    strips_of(empty_file.sequence_editor).remove(strip)
    depth_strip.add(depth_module.load(folder), empty_file)
    assert missing_files.of_file() == []
