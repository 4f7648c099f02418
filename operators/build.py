"""The operators that build a shot's camera, depth mesh and fog volume."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty

from ..inference.contract.untrusted import readable
from ..scene import standing
from ..scene.build import fit_scene, look_through
from ..scene.camera import (
    SENSOR_WIDTH,
    build_camera,
    cut_between_cameras,
    find_camera,
    given_focal_length,
    render_size_problem,
    stretch_problem,
)
from ..scene.depth import DepthError
from ..scene.fog import build_fog
from ..scene.mesh import apply_at_frame, build_mesh, matte_image, modifier_of
from ..scene.plate import PlateError, plate_image
from ..scene.problems import PROBLEMS, Problem
from .arguments import argument
from .depth_operator import OnDepth
from .reporting import report_error


class _Build(OnDepth):
    """The camera, which everything else hangs on, is built or brought up to date on the way."""

    focal_length: argument(
        bpy.props.FloatProperty,
        "Focal Length",
        "For a camera that does not move, in millimeters on a sensor 36 mm wide; 0: the camera that the estimator "
        "found, else the known focal length of the scene",
        min=0.0,
        soft_max=300.0,
        unit="CAMERA",
    )
    under: argument(
        bpy.props.EnumProperty,
        "Camera",
        "Which camera it stands under",
        items=(
            (
                "AUTO",
                "Automatic",
                "The scene's camera that follows the camera solve which the depth was fitted to or "
                "made with; without a solve Fathom's own",
            ),
            ("OWN", "Fathom's Own", "A camera that is built for the shot, also where there is a solve"),
        ),
    )
    scene_camera: argument(
        BoolProperty,
        "Scene Camera",
        "Let the scene look through the shot's camera; from the panel, on when that is built for the first time",
        default=True,
    )
    fit_render_size: argument(BoolProperty, "Fit Render Size", "Set the scene's render size to the clip's")
    fit_frame_range: argument(BoolProperty, "Fit Frame Range", "Set the scene's start and end to those of the clip")

    def invoke(self, context, event):
        """From a panel: a camera that was built before is the scene's only if the artist has left it so."""
        if not self.properties.is_property_set("scene_camera"):
            self.scene_camera = not self._was_built(context)
        return self.execute(context)

    def _was_built(self, context):
        try:
            depth = self._load(context.scene)
            return any(find_camera(depth, shot, context.scene) for shot in self._shots(context.scene, depth))
        except DepthError:
            return False  # `execute` reports it

    def complete(self, context, depth):
        """What the scene looks through, its render size and frames."""
        scene = context.scene
        fit_scene(scene, depth, frame_range=self.fit_frame_range, render_size=self.fit_render_size, frame_rate=False)
        if self.scene_camera:
            problem = look_through(scene, depth)
            if problem:
                self.report({"WARNING"}, readable(problem))
        elif self.all_shots:
            cut_between_cameras(depth, scene)
        for problem in filter(None, (render_size_problem(scene, depth), stretch_problem(scene))):
            self.report({"WARNING"}, readable(problem))

    def camera(self, context, depth, shot, *, keep_lens=True):
        """The camera that the shot stands under: the scene's, or Fathom's own, see `standing`."""
        if self.under == "AUTO" and not self.focal_length:
            found = standing.take(depth, shot, context.scene, scene_camera=self.scene_camera)
            if found is not None:
                return found
        camera = self._own_camera(context, depth, shot, keep_lens=keep_lens)
        standing.move(depth, shot, context.scene, None)
        return camera

    def _own_camera(self, context, depth, shot, *, keep_lens):
        """Fathom's own; a missing plate is a warning, since the camera serves without it behind.

        `keep_lens`: a focal length that the camera was built with stays, where none is named now.
        """
        focal_length = self.focal_length or None
        settings = context.scene.fathom
        found = find_camera(depth, shot, context.scene) if keep_lens else None
        if focal_length is None and found is not None:
            focal_length = given_focal_length(found)
        if focal_length is None and shot.camera is None and settings.use_focal_length:
            if not settings.sensor_width > 0:
                raise Problem(f"The sensor's width must be above 0 mm, not {settings.sensor_width:g}.")
            focal_length = settings.focal_length * SENSOR_WIDTH / settings.sensor_width
        how = {"scene": context.scene, "focal_length": focal_length, "scene_camera": self.scene_camera}
        try:
            return build_camera(depth, shot, **how)
        except PlateError as problem:
            self.warn_once(f"{problem} The camera is built without the plate behind it.")
            return build_camera(depth, shot, **how, plate=False)


class FATHOM_OT_build_camera(_Build, bpy.types.Operator):
    """Build the camera that filmed the shot, moving as it did, with the clip behind it"""

    bl_idname = "fathom.build_camera"
    bl_label = "Build Camera"

    def build(self, context, depth, shot):
        """The camera alone."""
        return self.camera(context, depth, shot, keep_lens=False).name


class FATHOM_OT_build_depth_mesh(_Build, bpy.types.Operator):
    """Build the shot's surface, or its points, seen by its camera: each pixel where its depth says"""

    bl_idname = "fathom.build_depth_mesh"
    bl_label = "Build Depth Mesh"

    points: argument(BoolProperty, "Point Cloud", "Points instead of a surface")
    subject: argument(
        bpy.props.EnumProperty,
        "Subject",
        "What is white in the images of the Matte Folder",
        items=(
            ("KEEP", "As It Is", "As it was built before; together at first"),
            ("TOGETHER", "Together", "One mesh of all that is seen"),
            ("LEAVE_OUT", "Leave Out", "The mesh goes on behind the subject, as far as that is known"),
            ("APART", "Apart", "The mesh without the subject, and the subject as an object of its own"),
        ),
    )

    _built: str | None = None

    def build(self, context, depth, shot):
        """The mesh under the shot's camera."""
        plate_image(depth)  # the mesh shows the plate: said before anything is built
        points = self.points if self.properties.is_property_set("points") else None
        folder = context.scene.fathom.mattes.strip()
        mattes = Path(bpy.path.abspath(folder)).absolute() if folder and self.subject != "KEEP" else None
        part = {"KEEP": None, "TOGETHER": "whole"}.get(self.subject, "rest")
        if part == "rest" and mattes is not None:
            matte_image(depth, shot, mattes)  # said before a camera is built
        how = {"points": points, "mattes": mattes if part == "rest" else None}
        camera = self.camera(context, depth, shot)
        built = [build_mesh(depth, shot, camera, part=part, **how)]
        if self.subject == "APART":
            built.append(build_mesh(depth, shot, camera, part="subject", **how))
        if self._built is None or shot == depth.shot_at(context.scene.frame_current):
            self._built = built[0].name
        return " and ".join(thing.name for thing in built)

    def complete(self, context, depth):
        """The mesh at this frame becomes the active object, which *Apply at This Frame* and the modifier's inputs are
        of.
        """
        super().complete(context, depth)
        _make_active(context, bpy.data.objects[self._built])


class FATHOM_OT_build_fog(_Build, bpy.types.Operator):
    """Fill what the shot's camera sees with fog that ends at the surfaces"""

    bl_idname = "fathom.build_fog"
    bl_label = "Build Fog Volume"

    def build(self, context, depth, shot):
        """The fog under the shot's camera."""
        return build_fog(depth, shot, self.camera(context, depth, shot)).name


class FATHOM_OT_apply_depth_mesh(bpy.types.Operator):
    """Make a plain mesh of what the active depth mesh shows at this frame, and hide the live one, which stays"""

    bl_idname = "fathom.apply_depth_mesh"
    bl_label = "Apply at This Frame"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if context.mode != "OBJECT" or context.object is None or modifier_of(context.object) is None:
            cls.poll_message_set("Select a depth mesh in Object Mode first")
            return False
        return True

    def execute(self, context):
        """The plain mesh becomes the active object. Both are in one place, so the live one is hidden."""
        live = context.object
        try:
            made = apply_at_frame(live, context.scene)
        except PROBLEMS as problem:
            return report_error(self, problem)
        _make_active(context, made)
        live.hide_set(True)
        live.hide_render = True
        self.report({"INFO"}, readable(f"Made {made.name}; {live.name} is hidden"))
        return {"FINISHED"}


def _make_active(context, thing):
    """Let an object alone be selected, and active; nothing changes where the view layer lacks it."""
    context.view_layer.update()  # which has what was linked just now no sooner
    objects = context.view_layer.objects
    if thing.name not in objects:
        return
    for other in list(objects.selected):
        other.select_set(False)
    objects.active = thing
    if thing.visible_get():
        thing.select_set(True)


CLASSES = (FATHOM_OT_build_camera, FATHOM_OT_build_depth_mesh, FATHOM_OT_build_fog, FATHOM_OT_apply_depth_mesh)
