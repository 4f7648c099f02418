"""The operators that fit depth to a clip's camera solve, and show which tracks do not agree."""

import bpy

from ..inference.contract.untrusted import readable
from ..scene import camera_fit, depth_list, lookup, solved_tracks, standing, subject, versions
from ..scene.problems import PROBLEMS, Problem
from ..scene.source_files import SourceError
from .arguments import argument
from .depth_operator import OnDepth
from .reporting import report_error, reporting


class _OnSolve(OnDepth):
    """Mix-in: for shots of a depth, and a clip with a camera solve."""

    @classmethod
    def poll(cls, context):
        if not len(context.scene.fathom.depths):
            cls.poll_message_set("Estimate the clip's depth, or load a depth sequence, first")
            return False
        return True

    def execute(self, context):
        """One shot after the other; a shot that cannot be done does not hold up the others."""
        try:
            depth = self._load(context.scene)
            shots = self._shots(context.scene, depth)
        except PROBLEMS as problem:
            return report_error(self, problem)
        done, failed = [], {}
        with lookup.caching():
            for shot in shots:
                try:
                    done.append(self.on_shot(context, depth, shot))
                except PROBLEMS as problem:
                    failed[str(problem)] = None
        for problem in failed:
            if done:
                self.report({"WARNING"}, readable(problem))
            else:
                report_error(self, problem)
        for sentence in done[:4]:
            self.report({"INFO"}, readable(sentence))
        return {"FINISHED"} if done else {"CANCELLED"}

    def on_shot(self, context, depth, shot):
        """Do it for one shot; return a sentence."""
        raise NotImplementedError


class FATHOM_OT_fit_to_camera_solve(_OnSolve, bpy.types.Operator):
    """Give the depth the distances of the clip's camera solve, by its tracks"""

    bl_idname = "fathom.fit_to_camera_solve"
    bl_label = "Fit to Camera Solve"

    clip: argument(
        bpy.props.StringProperty, "Clip", "Name of the movie clip with the solve; empty: the one that shows the plate"
    )
    spacing: bpy.props.IntProperty(
        name="Key Every",
        description="Let scale and shift change slowly, from one key to the next: frames between two keys, the fewer "
        "the less stiff. 0: one scale and shift for the whole shot",
        default=0,
        min=0,
        soft_max=250,
        subtype="TIME",
    )

    undistorted: bpy.props.BoolProperty(
        name="Undistorted Plate",
        description="The depth was estimated of images whose lens distortion was taken out, unlike the clip's",
        default=False,
    )

    def on_shot(self, context, depth, shot):
        """Fit it, and say how well."""
        clip = self._clip(context, depth)
        how = {"spacing": self.spacing, "undistorted": self.undistorted}
        found = camera_fit.fit_to_solve(depth, shot, clip, scene=context.scene, **how)
        for note in found.notes:
            self.warn_once(f"Left out: {note}.")
        try:
            standing.find(depth_list.placed(context.scene, depth), shot, context.scene)
        except PROBLEMS as problem:  # in the way of what is built under the camera, not of the fit
            self.warn_once(str(problem))
        return camera_fit.describe(found)

    def _clip(self, context, depth):
        if self.clip:
            if self.clip not in bpy.data.movieclips:
                raise Problem(f"There is no movie clip '{self.clip}' in this file: choose one of its clips.")
            return bpy.data.movieclips[self.clip]
        return solved_tracks.find_clip(depth, context.scene, _clip_in_front(context))


class FATHOM_OT_remove_fit(_OnSolve, bpy.types.Operator):
    """Give the depth its own distances again"""

    bl_idname = "fathom.remove_fit"
    bl_label = "Remove Fit"

    def on_shot(self, context, depth, shot):
        """Remove its fit."""
        camera_fit.remove_fit(context.scene, depth, shot)
        return f"{depth.name} has its own distances again"


class FATHOM_OT_select_fit_tracks(bpy.types.Operator):
    """Select the track in the Movie Clip Editor, and go to a frame that shows it"""

    bl_idname = "fathom.select_fit_tracks"
    bl_label = "Select Tracks"
    bl_options = {"REGISTER", "UNDO"}

    clip: argument(bpy.props.StringProperty, "Clip", "Name of the movie clip")
    tracks: argument(bpy.props.StringProperty, "Tracks", "Names of the tracks, one a line")

    @reporting
    def execute(self, context):
        clip = bpy.data.movieclips.get(self.clip)
        if clip is None:
            raise Problem(f"The clip {self.clip} is not in this file any more: fit the depth again.")
        count = camera_fit.select_tracks(clip, set(self.tracks.split("\n")))
        if not count:
            raise Problem(f"The clip {self.clip} has none of these tracks any more: fit the depth again.")
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "CLIP_EDITOR":
                    area.tag_redraw()
        self.report({"INFO"}, f"Selected {count} track{'s' if count > 1 else ''}")
        return {"FINISHED"}


def _clip_in_front(context):
    """The clip of the Movie Clip Editor, or of the active strip; None where there is none."""
    try:
        shown, _ = subject.shown_in(context)
    except SourceError:
        return None
    return shown if isinstance(shown, bpy.types.MovieClip) else versions.clip_of(shown)


CLASSES = (FATHOM_OT_fit_to_camera_solve, FATHOM_OT_remove_fit, FATHOM_OT_select_fit_tracks)
