"""Effects on strips: in Blender 5.2 and later, rendered; before that, one sentence."""

import bpy
import compositor
import depth_maker
import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import depth_list, missing_files, versions
from bl_ext.dev.fathom.scene.compositing import strip_effects
from bl_ext.dev.fathom.scene.problems import Problem

from tests import footage_maker

SIZE = (32, 18)


def strip_of(scene, folder):
    strips = versions.strips_of(scene.sequence_editor_create())
    strip = strips.new_image("plate", str(folder / "plate" / "plate.0001.png"), 1, 11)
    for number in range(2, 6):
        strip.elements.append(f"plate.{number:04d}.png")
    return strip


@pytest.fixture
def clip(tmp_path, empty_file):
    shots = [(1, 3, "done"), (4, 5, "refused")]
    folder = depth_maker.make(tmp_path, size=SIZE, frames=range(1, 6), shots=shots)
    return depths.load(folder, frame_offset=10), strip_of(empty_file, tmp_path)


@pytest.mark.skipif(not strip_effects.IS_THERE, reason="from Blender 5.2 on")
def test_a_strips_own_inputs_make_its_fog(tmp_path, empty_file, clip):
    depth, strip = clip
    shot = depth.sequence.shots[0]
    modifier = strip_effects.add(strip, empty_file, depth, shot, "FOG")
    assert strip_effects.add(strip, empty_file, depth, shot, "FOG") == modifier and len(strip.modifiers) == 1
    for name, value in {"Density": 0.7, "Start": 2.5, "Color": (0.0, 0.0, 1.0, 1.0)}.items():
        strip_effects.input_of(modifier, name).value = value
    compositor.prepare(empty_file, SIZE)
    empty_file.render.use_sequencer = True
    limit = depths.distances(depth, shot).far_limit
    for frame in (12, 14):
        empty_file.frame_set(frame)
        empty_file.render.filepath = str(tmp_path / "strip.exr")
        bpy.ops.render.render(write_still=True)
        found = np.array(OpenEXR.File(str(tmp_path / "strip.exr")).parts[0].channels["RGBA"].pixels)[..., :3]
        wanted = compositor.plate(frame - 10, SIZE)
        if frame == 12:
            behind = np.maximum(compositor.distance(2, SIZE, SIZE, limit) - 2.5, 0)
            fog = 1 - np.exp(-0.7 * behind)[..., None]
            wanted = wanted * (1 - fog) + np.array([0, 0, 1]) * fog
            assert fog.max() > 0.3
        np.testing.assert_allclose(found, wanted, atol=6e-3, err_msg=str(frame))


@pytest.mark.skipif(not strip_effects.IS_THERE, reason="from Blender 5.2 on")
@pytest.mark.parametrize("effect", [each[0] for each in strip_effects.ITEMS])
def test_each_effect_has_its_inputs_in_the_modifier(clip, empty_file, effect):
    depth, strip = clip
    modifier = strip_effects.add(strip, empty_file, depth, depth.sequence.shots[0], effect)
    names = {item.name for item in modifier.node_group.interface.items_tree if item.item_type == "SOCKET"}
    assert "Image" in names and not names & {"Z", "Has Depth"} and len(names) > 5


@pytest.mark.skipif(strip_effects.IS_THERE, reason="before Blender 5.2")
def test_before_there_are_such_modifiers_it_is_said(clip, empty_file):
    depth, strip = clip
    with pytest.raises(Problem, match=r"Blender 5\.2"):
        strip_effects.add(strip, empty_file, depth, depth.sequence.shots[0], "FOG")


@pytest.mark.skipif(not strip_effects.IS_THERE, reason="from Blender 5.2 on")
def test_an_effect_is_brought_to_where_its_strip_lies_and_that_it_is_elsewhere_is_said(tmp_path, empty_file, clip):
    depth, strip = clip
    shot, add = depth.sequence.shots[0], strip_effects.add
    depth_list.remember(empty_file, depth)
    modifier = add(strip, empty_file, depth, shot, "FOG")
    for name, value in {"Density": 0.7, "Color": (0.0, 0.0, 1.0, 1.0)}.items():
        strip_effects.input_of(modifier, name).value = value
    compositor.prepare(empty_file, SIZE)
    empty_file.render.use_sequencer = True

    def rendered(frame):
        empty_file.frame_set(frame)
        empty_file.render.filepath = str(tmp_path / "strip.exr")
        bpy.ops.render.render(write_still=True)
        return np.array(OpenEXR.File(str(tmp_path / "strip.exr")).parts[0].channels["RGBA"].pixels)

    before, group = rendered(13), modifier.node_group
    assert missing_files.of_file() == []
    strip.content_start += 100
    (said,) = missing_files.of_file()
    assert said.startswith(
        "The strip plate shows plate at other frames than its effects have the depth: add them again"
    )
    assert add(strip, empty_file, depth, shot, "FOG") == modifier and modifier.node_group == group
    assert missing_files.of_file() == []
    np.testing.assert_allclose(rendered(113), before, atol=1e-6)
    strips = versions.strips_of(empty_file.sequence_editor)
    second = strips.new_image("two", str(tmp_path / "plate" / "plate.0001.png"), 2, 1)
    for number in range(2, 6):
        second.elements.append(f"plate.{number:04d}.png")
    assert add(second, empty_file, depth, shot, "FOG").node_group != group
    np.testing.assert_allclose(rendered(113), before, atol=1e-6)
    strip.content_start -= 100
    assert add(strip, empty_file, depth, shot, "FOG") == modifier
    assert strip_effects.input_of(modifier, "Density").value == pytest.approx(0.7)
    modifier.node_group = own = group.copy()
    assert add(strip, empty_file, depth, shot, "FOG") == modifier and modifier.node_group == own, "the artist's stays"
    second.mute = True
    np.testing.assert_allclose(rendered(13), before, atol=1e-6)


@pytest.mark.skipif(not strip_effects.IS_THERE, reason="from Blender 5.2 on")
def test_a_strip_that_is_scaled_turned_and_flipped_has_its_effect_on_the_same_pixels(tmp_path, empty_file, clip):
    depth, strip = clip
    modifier = strip_effects.add(strip, empty_file, depth, depth.sequence.shots[0], "FOG")
    for name, value in {"Density": 0.7, "Color": (0.0, 0.0, 1.0, 1.0)}.items():
        strip_effects.input_of(modifier, name).value = value

    def rendered(scale):
        compositor.prepare(empty_file, (scale * SIZE[0], scale * SIZE[1]))
        empty_file.render.use_sequencer, empty_file.render.filepath = True, str(tmp_path / "strip.exr")
        empty_file.frame_set(12)
        bpy.ops.render.render(write_still=True)
        return np.array(OpenEXR.File(str(tmp_path / "strip.exr")).parts[0].channels["RGBA"].pixels)

    before = rendered(1)
    assert np.ptp(before[..., 2]) > 0.2
    strip.use_flip_x, strip.transform.rotation = True, np.pi
    np.testing.assert_allclose(rendered(1), before[::-1], atol=2e-3)
    strip.use_flip_x, strip.transform.rotation = False, 0.0
    strip.transform.filter = "NEAREST"
    strip.transform.scale_x = strip.transform.scale_y = 2.0
    np.testing.assert_allclose(rendered(2)[::2, ::2], before, atol=2e-3)


@pytest.mark.skipif(not strip_effects.IS_THERE, reason="from Blender 5.2 on")
def test_a_strip_that_does_not_show_its_clip_frame_by_frame_gets_no_effect(tmp_path, empty_file):
    made = footage_maker.movie(tmp_path / "plate.mp4", range(12), size=SIZE, rate=24)
    source = Source(kind="movie", path=str(made), width=SIZE[0], height=SIZE[1], frame_count=12)
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 13), source=source))
    depth_list.remember(empty_file, depth)
    strip = versions.strips_of(empty_file.sequence_editor_create()).new_movie("plate", str(made), 1, 1)
    shot = depth.sequence.shots[0]
    strip_effects.add(strip, empty_file, depth, shot, "FOG")
    assert missing_files.of_file() == []
    strip.use_reverse_frames = True
    assert "The strip plate shows plate at other frames than its effects" in missing_files.of_file()[0]
    with pytest.raises(Problem, match="Strip plate is reversed; turn off Reverse Frames"):
        strip_effects.add(strip, empty_file, depth, shot, "FOG")
    strip.use_reverse_frames, strip.strobe = False, 2
    with pytest.raises(Problem, match="Strip plate strobes; set its Strobe to 1"):
        strip_effects.add(strip, empty_file, depth, shot, "GRADE")
    strip.strobe, strip.mute = 1, True
    assert missing_files.of_file() == [] and len(strip.modifiers) == 1
