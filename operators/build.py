"""The operators that build a shot's camera, depth mesh and fog volume."""

import bpy

from ..scene.camera import (
    SENSOR_WIDTH,
    build_camera,
    cut_between_cameras,
    find_camera,
    fit_render_size,
    given_focal_length,
    render_size_problem,
)
from ..scene.fog import build_fog
from ..scene.mesh import build_mesh
from ..scene.plate import PlateError, plate_image
from .on_depth import OnDepth


class _Build(OnDepth):
    """The camera, which everything else hangs on, is built or brought up to date on the way."""

    focal_length: bpy.props.FloatProperty(
        name="Focal Length",
        description="For a camera that does not move, in millimetres on a sensor 36 mm wide; 0: the camera that the "
        "estimator found, else the known lens of the scene",
        default=0.0,
        min=0.0,
        soft_max=300.0,
        unit="CAMERA",
        options={"SKIP_SAVE"},  # the next clip has another lens
    )

    def camera(self, context, depth, shot, *, keep_lens=True):
        """The shot's camera; a missing plate is a warning, since the camera serves without it behind.

        `keep_lens`: a focal length that the camera was given before stays, where none is given now.
        """
        focal_length = self.focal_length or None
        kept = context.scene.fathom
        found = find_camera(depth, shot, context.scene) if keep_lens else None
        if focal_length is None and found is not None:
            focal_length = given_focal_length(found)
        if focal_length is None and shot.camera is None and kept.use_focal_length:
            focal_length = kept.focal_length * SENSOR_WIDTH / kept.sensor_width
        try:
            return build_camera(depth, shot, scene=context.scene, focal_length=focal_length)
        except PlateError as problem:
            self.report({"WARNING"}, f"{problem} The camera is built without the plate behind it.")
            return build_camera(depth, shot, scene=context.scene, focal_length=focal_length, plate=False)


class FATHOM_OT_build_camera(_Build, bpy.types.Operator):
    """Build the camera that filmed the shot, moving as it did, with the clip behind it"""

    bl_idname = "fathom.build_camera"
    bl_label = "Build Camera"
    bl_options = {"REGISTER", "UNDO"}

    fit_render_size: bpy.props.BoolProperty(
        name="Fit Render Size", description="Set the scene's render size to the clip's", default=False
    )

    def build(self, context, depth, shot):
        """The camera alone."""
        return self.camera(context, depth, shot, keep_lens=False).name

    def complete(self, context, depth):
        """The cuts between the cameras, and the render size that they want."""
        if self.all_shots and len(depth.sequence.done_shots) > 1:
            cut_between_cameras(depth, context.scene)
        if self.fit_render_size:
            fit_render_size(context.scene, depth)
        problem = render_size_problem(context.scene, depth)
        if problem:
            self.report({"WARNING"}, problem)


class FATHOM_OT_build_depth_mesh(_Build, bpy.types.Operator):
    """Build the shot's surface, or its points, seen by its camera: each picture element where its depth says"""

    bl_idname = "fathom.build_depth_mesh"
    bl_label = "Build Depth Mesh"
    bl_options = {"REGISTER", "UNDO"}

    points: bpy.props.BoolProperty(
        name="Point Cloud", description="Points instead of a surface", default=False, options={"SKIP_SAVE"}
    )

    def build(self, context, depth, shot):
        """The mesh under the shot's camera."""
        plate_image(depth)  # the mesh shows the plate: said before anything is built
        points = self.points if self.properties.is_property_set("points") else None
        return build_mesh(depth, shot, self.camera(context, depth, shot), points=points).name


class FATHOM_OT_build_fog(_Build, bpy.types.Operator):
    """Fill what the shot's camera sees with fog that ends at the surfaces"""

    bl_idname = "fathom.build_fog"
    bl_label = "Build Fog Volume"
    bl_options = {"REGISTER", "UNDO"}

    def build(self, context, depth, shot):
        """The fog under the shot's camera."""
        return build_fog(depth, shot, self.camera(context, depth, shot)).name


CLASSES = (FATHOM_OT_build_camera, FATHOM_OT_build_depth_mesh, FATHOM_OT_build_fog)
