"""The operators on a built fog volume: its presets, and its lamp."""

import bpy

from ..scene import fog_light
from ..scene.fog import apply_preset, find_fog
from ..scene.fog_look import PRESETS, is_slow
from .arguments import argument
from .depth_operator import OnDepth


class FATHOM_OT_fog_preset(OnDepth, bpy.types.Operator):
    """Give the shot's fog a look that suits its distances"""

    bl_idname = "fathom.fog_preset"
    bl_label = "Fog Preset"
    done = "Changed"

    preset: argument(bpy.props.EnumProperty, "Preset", "The look", items=PRESETS)

    @classmethod
    def description(cls, _context, properties):
        """That of the preset."""
        return next(what for name, _, what in PRESETS if name == properties.preset)

    def build(self, context, depth, shot):
        """Change the shot's fog."""
        fog = find_fog(depth, shot, context.scene)
        note = apply_preset(depth, shot, fog, self.preset, scene=context.scene)
        if note is not None:
            self.warn_once(note)
        if self.preset != "HAZE" and is_slow(context.scene):
            self.warn_once(
                "Cycles takes very long over uneven fog: switch on Biased, in this panel or in Render > Volumes."
            )
        return fog.name


class FATHOM_OT_light_fog(OnDepth, bpy.types.Operator):
    """Let a sun give the shot's fog its shape, in place of the even light that it has by itself"""

    bl_idname = "fathom.light_fog"
    bl_label = "Light It"
    done = "Lit"

    def build(self, context, depth, shot):
        """Add the lamp, or bring it back to what suits the fog."""
        return fog_light.add_light(find_fog(depth, shot, context.scene), context.scene).name


class FATHOM_OT_unlight_fog(OnDepth, bpy.types.Operator):
    """Remove the sun of Light It; the fog gets the light back that it had before"""

    bl_idname = "fathom.unlight_fog"
    bl_label = "Remove Light"
    done = "Gave its own light back to"

    def build(self, context, depth, shot):
        """Remove the lamp."""
        fog = find_fog(depth, shot, context.scene)
        fog_light.remove_light(fog)
        return fog.name


CLASSES = (FATHOM_OT_fog_preset, FATHOM_OT_light_fog, FATHOM_OT_unlight_fog)
