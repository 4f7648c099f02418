"""The operator that writes a depth for other programs."""

from typing import Any

import bpy

from ..inference.contract import export as contract
from ..inference.contract.untrusted import readable
from ..scene import blender_files, current_run, depth_list, export, fog_grid, places
from ..scene import depth as depth_module
from ..scene.camera import SENSOR_WIDTH
from ..scene.problems import Problem
from .arguments import argument, depth_argument, path_argument
from .modal_run import Follows, is_idle


class FATHOM_OT_export_depth(Follows, bpy.types.Operator):
    """Write the active depth for another program: distances, gray images, movies, points, camera, mesh and fog"""

    bl_idname = "fathom.export_depth"
    bl_label = "Export Depth"
    cancelled_note = "The files that are written are whole: the same export goes on from there."

    depth: depth_argument()
    folder: path_argument("Depth Folder", "Folder of a depth sequence, instead of one on the list", "DIR_PATH")
    focal_length: argument(
        bpy.props.FloatProperty,
        "Focal Length",
        "Of a camera that does not move, in millimeters on a sensor 36 mm wide; 0: the camera that the estimator "
        "found, else the known focal length of the scene",
        min=0.0,
        unit="CAMERA",
    )

    _output = ""

    @classmethod
    def poll(cls, context):
        return is_idle(cls) and context.scene is not None

    def begin(self, context):
        """The export of the depth; what Blender writes is written at once."""
        scene = context.scene
        depth = self._load(scene)
        values = self._values(scene)
        wanted = export.wanted(depth, values, scene=scene, focal_length=self._focal_length(scene, depth, values))
        self._output = wanted.output
        kind = values["format"].lower()
        if kind in contract.BLENDERS:
            how = {"scene": scene, "overwrite": values["overwrite"], "grid": fog_grid.grid_of(values)}
            earlier = blender_files.earlier_beside(depth, wanted, kind)
            paths = blender_files.write(depth, wanted, kind, **how)
            self.report({"INFO"}, readable(f"Wrote {', '.join(path.name for path in paths[:8])} to {wanted.output}"))
            if earlier is not None:
                self.report({"WARNING"}, earlier)
            return None
        export.ask(depth)
        steps = export.steps(wanted, overwrite=values["overwrite"])
        return f"Exporting the depth of {depth.name}", steps, export.Exporting(wanted.output)

    def finish(self, context):
        """Say where the files are."""
        done = current_run.last().done if current_run.last() is not None else None
        frames = f" of {done.frames} frames" if done is not None else ""
        self.report({"INFO"}, readable(f"The export{frames} is in {self._output}"))

    def _load(self, scene):
        if self.folder:
            places.ask(bpy.path.abspath(self.folder))
            return depth_list.placed(scene, depth_module.load(self.folder))
        if not len(scene.fathom.depths):
            raise Problem("There is no depth to export: estimate a clip, or load a depth sequence.")
        return depth_list.load(scene, self.depth)

    def _values(self, scene) -> dict[str, Any]:
        """The scene's settings, but for what the call names."""
        chosen = scene.fathom.export
        named = {name for name in export.NAMES if self.properties.is_property_set(name)}
        return {name: getattr(self if name in named else chosen, name) for name in export.NAMES}

    def _focal_length(self, scene, depth, values) -> float | None:
        """In millimeters on a sensor 36 mm wide, where a camera is needed and the depth has none."""
        if self.focal_length:
            return self.focal_length
        settings = scene.fathom
        needs = values["format"].lower() in (*contract.NEEDS_CAMERA, *contract.BLENDERS)
        if needs and settings.use_focal_length and any(shot.camera is None for shot in depth.sequence.done_shots):
            return settings.focal_length * SENSOR_WIDTH / settings.sensor_width
        return None


FATHOM_OT_export_depth.__annotations__ |= export.properties(frozenset({"SKIP_SAVE"}))

CLASSES = (FATHOM_OT_export_depth,)
