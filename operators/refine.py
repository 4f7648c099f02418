"""The operator that refines a depth."""

from typing import Any

import bpy

from ..inference.contract.untrusted import readable
from ..scene import depth as depth_module
from ..scene import depth_list, output, places, refine
from ..scene.depth import require_own
from ..scene.problems import Problem
from .arguments import argument, depth_argument, path_argument
from .modal_run import Follows


class FATHOM_OT_refine_depth(Follows, bpy.types.Operator):
    """Write the active depth again with better edges, into a folder beside it, and put that on the list"""

    bl_idname = "fathom.refine_depth"
    bl_label = "Refine Depth"
    bl_options = {"UNDO"}
    cancelled_note = "The maps that are written stay: the same refinement goes on from there."

    depth: depth_argument()
    folder: path_argument("Depth Folder", "Folder of a depth sequence, instead of one on the list", "DIR_PATH")
    new_version: argument(bpy.props.BoolProperty, "New Version", "Refine again also where that is done already")

    _depth = None
    _target = None
    _scene = 0
    """Session number of the scene that asked."""

    def begin(self, context):
        """The steps of the worker; nothing to run where the refined depth is there already."""
        scene = context.scene
        require_own(scene, "scene")
        self._depth = depth = self._load(scene)
        refine.ask(depth)
        wanted, place, taken = output.take(
            lambda: refine.prepare(depth, self._values(scene), new_version=self.new_version)
        )
        self._target, self._scene = place.folder, scene.session_uid
        if place.standing == "finished":
            self.finish(context)
            return None
        return f"Refining the depth of {depth.name}", refine.steps(wanted, taken), refine.Refining(wanted.output)

    def finish(self, context):
        """Put it on the list of the scene that asked."""
        scene = next((s for s in bpy.data.scenes if s.session_uid == self._scene), context.scene)
        refine.adopt(scene, self._depth, self._target)
        there = "was there already" if self._run is None else "is on the list"
        self.report({"INFO"}, readable(f"The refined depth in {self._target} {there}"))

    def _load(self, scene):
        if self.folder:
            places.ask(bpy.path.abspath(self.folder))
            return depth_list.placed(scene, depth_module.load(self.folder))
        if not len(scene.fathom.depths):
            raise Problem("There is no depth to refine: estimate a clip, or load a depth sequence.")
        return depth_list.load(scene, self.depth)

    def _values(self, scene) -> dict[str, Any]:
        """The scene's settings, but for what the call names."""
        chosen = scene.fathom.refine
        named = {name for name in refine.NAMES if self.properties.is_property_set(name)}
        return {name: getattr(self if name in named else chosen, name) for name in refine.NAMES}


FATHOM_OT_refine_depth.__annotations__ |= refine.properties(frozenset({"SKIP_SAVE"}))

CLASSES = (FATHOM_OT_refine_depth,)
