"""The operators that scale, level and place what is built by points of the image."""

import bpy
import numpy as np

from ..inference.contract.untrusted import in_a_line
from ..scene import depth_list, orientation, subject
from ..scene.problems import PROBLEMS, Problem
from ..scene.source_files import SourceError
from ..scene.viewing import shown
from .arguments import argument, depth_argument
from .reporting import report_error, reporting

_SPACES = ("CLIP_EDITOR", "IMAGE_EDITOR")


class ByPoints:
    """Mix-in: an operator on `count` points: those of its property, the selected tracks', or clicked in the image."""

    bl_options = {"REGISTER", "UNDO"}
    count = 1

    depth: depth_argument(options=frozenset({"HIDDEN"}))
    points: argument(
        bpy.props.StringProperty,
        "Points",
        "Places in the image, from its lower left corner in widths and heights, such as 0.25,0.1 0.6,0.15; empty: the "
        "selected tracks",
    )

    @classmethod
    def poll(cls, context):
        if not len(context.scene.fathom.depths):
            cls.poll_message_set("Estimate the clip's depth, or load a depth sequence, first")
            return False
        return True

    @reporting
    def execute(self, context):
        depth = depth_list.load(context.scene, self.depth)
        places = self._written() if self.points else self._selected(context, depth)
        if places is None:
            raise Problem(f"Select {self.count} tracks in the Movie Clip Editor, or give the points.")
        self.apply(context, depth, depth.done_shot_at(context.scene.frame_current), places)
        return {"FINISHED"}

    def invoke(self, context, event):
        """With tracks selected, by those; else clicks are taken in the editor."""
        self._clicked = []
        try:
            depth = depth_list.load(context.scene, self.depth)
            has_points = bool(self.points) or self._selected(context, depth) is not None
        except PROBLEMS as problem:
            return report_error(self, problem)
        if has_points:
            return self.execute(context)
        if context.area is None or context.area.type not in _SPACES:
            return report_error(self, "Press it in the Movie Clip Editor or the Image Editor, to click in the image.")
        try:
            shown.require_in_step(depth, context.space_data, context.scene)
        except PROBLEMS as problem:
            return report_error(self, problem)
        self._tell(context)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Take clicks until there are enough; Escape or the right button ends it."""
        if event.type in {"ESC", "RIGHTMOUSE"}:
            self._end(context)
            return {"CANCELLED"}
        if event.type != "LEFTMOUSE" or event.value != "PRESS":
            return {"PASS_THROUGH"}
        region = next((each for each in context.area.regions if each.type == "WINDOW"), None)
        if region is None:
            self._end(context)
            return {"CANCELLED"}
        try:
            depth = depth_list.load(context.scene, self.depth)
            shown.require_in_step(depth, context.area.spaces.active, context.scene)  # the timeline goes on meanwhile
        except PROBLEMS as problem:
            self._end(context)
            return report_error(self, problem)
        place = region.view2d.region_to_view(event.mouse_x - region.x, event.mouse_y - region.y)
        if not all(0.0 <= each <= 1.0 for each in place):
            return {"PASS_THROUGH"}
        self._clicked.append(place)
        if len(self._clicked) < self.count:
            self._tell(context)
            return {"RUNNING_MODAL"}
        self._end(context)
        self.points = " ".join(f"{u:.6f},{v:.6f}" for u, v in self._clicked)
        return self.execute(context)

    def apply(self, context, depth, shot, places):
        """Do it with the points [count, 2]."""
        raise NotImplementedError

    def _tell(self, context):
        point = f"point {len(self._clicked) + 1} of {self.count} " if self.count > 1 else ""
        text = f"{self.bl_label}: click {point}in the image; Esc cancels"
        context.workspace.status_text_set(text)

    def _end(self, context):
        context.workspace.status_text_set(None)

    def _written(self):
        try:
            found = np.array([[float(each) for each in pair.split(",")] for pair in self.points.split()])
        except ValueError as error:
            raise Problem(f"'{in_a_line(self.points)}' are no points: write them as 0.25,0.1 0.6,0.15.") from error
        if found.shape != (self.count, 2) or not np.all(np.isfinite(found)):
            raise Problem(f"'{in_a_line(self.points)}' are not {self.count} points: write them as 0.25,0.1 0.6,0.15.")
        return found

    def _selected(self, context, depth):
        """The places of the selected tracks; None where no track is."""
        try:
            found, _ = subject.shown_in(context)
        except SourceError:
            return None
        if not isinstance(found, bpy.types.MovieClip):
            return None
        return orientation.selected_places(found, self.count, depth, context.scene)


class _ByDistance(ByPoints):
    distance: bpy.props.FloatProperty(
        name="Distance", description="As it was measured", default=1.0, min=1e-6, subtype="DISTANCE", unit="LENGTH"
    )


class FATHOM_OT_set_scale(_ByDistance, bpy.types.Operator):
    """Scale the scene so that two points have a distance: those of two selected tracks, or clicked in the image"""

    bl_idname = "fathom.set_scale"
    bl_label = "Set Scale"
    count = 2

    def apply(self, context, depth, shot, places):
        """Scale it."""
        orientation.set_scale(depth, shot, places, self.distance, scene=context.scene)


class FATHOM_OT_set_distance(_ByDistance, bpy.types.Operator):
    """Scale the scene so that a point has a distance from the camera: a selected track's, or clicked in the image"""

    bl_idname = "fathom.set_distance"
    bl_label = "Set Distance from Camera"

    def apply(self, context, depth, shot, places):
        """Scale it."""
        orientation.set_distance(depth, shot, places, self.distance, scene=context.scene)


class FATHOM_OT_set_floor(ByPoints, bpy.types.Operator):
    """Level the scene by three points on the floor, the first at the origin: selected tracks, or clicks in the image"""

    bl_idname = "fathom.set_floor"
    bl_label = "Set Floor"
    count = 3

    def apply(self, context, depth, shot, places):
        """Level it."""
        orientation.set_floor(depth, shot, places, scene=context.scene)


CLASSES = (FATHOM_OT_set_scale, FATHOM_OT_set_distance, FATHOM_OT_set_floor)
