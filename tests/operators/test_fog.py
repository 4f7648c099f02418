"""The operators on a built fog volume, and which fog the panel shows."""

import bpy
import pytest
from bl_ext.dev.fathom.scene import fog_light, fog_look
from bl_ext.dev.fathom.scene.fog import fog_shown

pytestmark = pytest.mark.usefixtures("empty_file")


def test_presets_and_the_lamp_by_operators(listed):
    with pytest.raises(RuntimeError, match="press Fog Volume first"):
        bpy.ops.fathom.fog_preset(preset="SMOKE")
    assert bpy.ops.fathom.build_fog(all_shots=True) == {"FINISHED"}
    scene = bpy.context.scene
    scene.frame_set(1)
    assert bpy.ops.fathom.fog_preset(preset="SMOKE") == {"FINISHED"}
    job = scene.fathom.depths[0].job
    fogs = []
    for frame in (1, 5):
        scene.frame_set(frame)
        fogs.append(fog_shown(scene, job))
    assert fogs[0] != fogs[1]
    amounts = [fog_look.look_of(fog).inputs["Noise Amount"].default_value for fog in fogs]
    assert amounts == [1.0, 0.0], "the fog of the shot under the playhead was changed, and that alone"
    assert fog_shown(scene, "another job") is None
    scene.frame_set(3)
    assert fog_shown(scene, job) is None, "the second shot has no depth"
    assert bpy.ops.fathom.light_fog(all_shots=True) == {"FINISHED"}
    assert all(fog_light.light_of(fog) for fog in fogs) and len(bpy.data.lights) == 2
    assert bpy.ops.fathom.unlight_fog(all_shots=True) == {"FINISHED"}
    assert not bpy.data.lights
