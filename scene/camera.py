"""The camera that filmed a shot, from the estimator's path or from a focal length alone.

The camera hangs under an empty, the rig, and what is built from its depth hangs under the camera. The rig has the
custom property *Scale*, which drives its scale along all axes: it multiplies distances and the camera path alike, so
the static world stays still under the moving camera whatever it is. The rig's location and rotation place that world
in the scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import bpy
import numpy as np
from mathutils import Matrix

from ..inference.contract.camera import SENSOR_WIDTH, Camera, Pose
from ..inference.contract.depth_sequence import Shot
from . import lookup, nodes, tags
from .depth import Depth, disparity_image, distances, find_disparity_image, require_own, set_where_new
from .plate import pixel_aspect, plate_image, plate_size, put_plate, show_plate
from .problems import Problem

SCALE = "Scale"
"""Custom property of the rig; `SCALE_PATH` is where drivers find it."""

SCALE_PATH = f'["{SCALE}"]'

DISTORTION = "fathom_distortion"
"""Custom property of the camera's data: k1, k2 of the polynomial model, absent where there is none or another one."""

GIVEN_LENS = "fathom_given_lens"
"""Custom property of the camera's data: it was built from a focal length, not as the estimator found it."""

_WORLD = Matrix(((1, 0, 0), (0, 0, 1), (0, -1, 0))).to_4x4()
"""OpenCV's world (y down, z ahead) in Blender's (z up, y ahead)."""

_VIEW = Matrix.Diagonal((1, -1, -1, 1))
"""Blender's camera axes (y up, looking along -z) in OpenCV's."""


def build_camera(
    depth: Depth,
    shot: Shot,
    *,
    scene: bpy.types.Scene,
    focal_length: float | None = None,
    plate: bool = True,
    scene_camera: bool = True,
) -> bpy.types.Object:
    """Build the camera of a shot that is done, or bring the one that was built before up to date.

    It goes into the clip's collection of the scene; the render size stays as it is, see `fit_render_size`. Its parent
    is the rig; one that is there keeps its place, rotation and Scale. Mesh and fog of the shot whose camera was deleted
    hang under the new one.

    Parameters
    ----------
    focal_length : float or None
        Millimeters on a sensor 36 mm wide: a locked camera at the rig's origin, whatever the estimator found.
        None: the estimator's camera, its path keyed on every frame (linear in between, held before and after).
    plate : bool
        Whether the plate is shown behind the camera view.
    scene_camera : bool
        Whether the scene looks through it from now on; a scene without a camera does so in any case.

    Raises
    ------
    DepthError
        The shot is unsupported, or the scene is linked.
    Problem
        The estimator gave no camera and `focal_length` is None, or it is not above 0.
    PlateError
        `plate` is asked for and missing; nothing is built then.
    """
    require_own(scene, "scene")
    depth.require_done(shot)
    known = _intrinsics(depth, shot, focal_length)
    if plate:
        plate_image(depth)  # raises where it is missing
    image = disparity_image(depth)
    collection = clip_collection(depth, scene)
    rig = _rig(depth, shot, scene, collection)
    camera = _in_scene("camera", image, shot, scene)
    if camera is None:
        name = depth.label("Camera", shot)
        camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
        lookup.link(lookup.tag(camera, "camera", image=image, shot=shot.first_frame), collection, [scene])
    camera.parent = rig
    camera.matrix_parent_inverse = Matrix.Identity(4)
    _set_lens(camera.data, known, depth.frame_offset)
    camera.data[GIVEN_LENS] = focal_length is not None
    _set_clipping(camera.data, rig, depth, shot)
    _set_path(camera, known, depth.frame_offset, path_unit(depth, shot))
    if plate:
        _set_background(camera.data, depth)
    _adopt(camera, depth, shot, scene)
    if scene_camera or scene.camera is None:
        scene.camera = camera
    return camera


def find_camera(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The camera that `build_camera` made for a shot in this scene, or None."""
    return _find("camera", depth, shot, scene)


def given_focal_length(camera: bpy.types.Object) -> float | None:
    """The focal length, on a sensor 36 mm wide, of a camera that was built from one; None for any other."""
    if camera.type != "CAMERA" or not camera.data.get(GIVEN_LENS):
        return None
    return camera.data.lens * SENSOR_WIDTH / camera.data.sensor_width


def is_lost(thing: bpy.types.Object, scene: bpy.types.Scene) -> bool:
    """Whether an object that was built under a camera hangs under nothing of the scene any more."""
    return thing.parent is None or not lookup.is_in(thing.parent, scene)


def hang(thing: bpy.types.Object, camera: bpy.types.Object) -> None:
    """Hang an object under a camera, in the camera's own space, in units of its depth; see `tags`."""
    thing.parent = camera
    thing.matrix_parent_inverse = Matrix.Identity(4)
    (size,) = tags.numbers(camera, tags.SIZE, 1) or (1.0,)
    thing.matrix_basis = Matrix.Scale(size, 4)


def follow_lens(modifier: bpy.types.NodesModifier, camera: bpy.types.Object, depth: Depth) -> None:
    """Drive a group's focal length and shifts by the camera's, so that changing its lens changes the frustum at once.

    Blender's numbers refer to the side that the sensor is fitted to; the group's to the image's width.
    """
    width, height = plate_size(depth)
    data = camera.data
    aspect = height / (width * pixel_aspect(depth))
    fitted_to_height = data.sensor_fit == "VERTICAL" or (data.sensor_fit == "AUTO" and aspect > 1)
    sensor = "sensor_height" if data.sensor_fit == "VERTICAL" else "sensor_width"
    share = aspect if fitted_to_height else 1.0
    nodes.set_modifier_input(modifier, "Aspect", aspect)
    for name, expression, sources in (
        ("Focal Length", f"lens / sensor * {share:.9g}", {"lens": (data, "lens"), "sensor": (data, sensor)}),
        ("Shift X", f"shift * {share:.9g}", {"shift": (data, "shift_x")}),
        ("Shift Y", f"shift * {share:.9g}", {"shift": (data, "shift_y")}),
    ):
        nodes.set_modifier_input(modifier, name, 0.0)  # whatever else it is in a file of somebody else's, or not at all
        nodes.drive(modifier.id_data, nodes.modifier_input_path(modifier, name), sources, expression)


def find_rig(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The empty above the camera, whose custom property `SCALE` is the shot's Scale, or None."""
    return _find("rig", depth, shot, scene)


def rig_above(thing: bpy.types.Object | None) -> bpy.types.Object | None:
    """The rig that an object hangs under or is, whatever it was built from; None where there is none."""
    while thing is not None and thing.get(tags.KIND) != "rig":
        thing = thing.parent
    return thing


def cut_between_cameras(depth: Depth, scene: bpy.types.Scene) -> None:
    """Let the scene look through each shot's camera from the shot's first frame on, by markers on the timeline.

    For a clip of several shots whose cameras are built; with one shot there is nothing to cut. Markers of an earlier
    call move with the frame offset.
    """
    if len(depth.sequence.done_shots) < 2:
        return
    markers = list(reversed(scene.timeline_markers))
    switches = {marker.camera: marker for marker in markers if marker.camera is not None}
    named = {marker.name: marker for marker in markers if marker.camera is None}  # of a camera that was deleted
    for shot in depth.sequence.done_shots:
        camera = find_camera(depth, shot, scene)
        if camera is None:
            continue
        marker = switches.get(camera) or named.get(camera.name)
        if marker is None:
            marker = scene.timeline_markers.new(camera.name)
        marker.camera = camera
        marker.frame = shot.first_frame + depth.frame_offset


def camera_at(scene: bpy.types.Scene, frame: int) -> bpy.types.Object | None:
    """The camera that a scene looks through at a frame: markers on the timeline may switch it; None where it has none.

    As Blender: the last marker with a camera up to the frame counts, before all of them the first.
    """
    switches = sorted((m for m in scene.timeline_markers if m.camera is not None), key=lambda m: m.frame)
    passed = [marker for marker in switches if marker.frame <= frame]
    if switches:
        return (passed[-1] if passed else switches[0]).camera
    return scene.camera


@lookup.once
def clip_collection(depth: Depth, scene: bpy.types.Scene) -> bpy.types.Collection:
    """The scene's collection for what is built from a clip's depth, made if it is not there."""
    image = disparity_image(depth)
    of_clip = lookup.tagged("collection", image=image, among="collections")
    collection = next((each for each in of_clip if each in scene.collection.children_recursive), None)
    if collection is None:
        collection = lookup.tag(bpy.data.collections.new(depth.name), "collection", image=image, among="collections")
        scene.collection.children.link(collection)
    return collection


def fit_render_size(scene: bpy.types.Scene, depth: Depth) -> None:
    """Set the scene's render size and pixel aspect to the plate's: what the camera and its depth were made for."""
    render, aspect = scene.render, pixel_aspect(depth)
    render.resolution_x, render.resolution_y = plate_size(depth)
    render.pixel_aspect_x, render.pixel_aspect_y = (
        max(aspect, 1.0),
        max(1.0 / aspect, 1.0),
    )  # Blender takes none below 1


def stretch_problem(scene: bpy.types.Scene) -> str | None:
    """One sentence where the scene's time is stretched, which Blender does to meshes and cameras, and not to images."""
    if scene.render.frame_map_old == scene.render.frame_map_new:
        return None
    return (
        f"The Time Stretching of {scene.name} moves depth and camera to other frames than the plate: give Old and New "
        "one value, and stretch what is rendered."
    )


def render_size_problem(scene: bpy.types.Scene, depth: Depth) -> str | None:
    """One sentence where the render's aspect is not the plate's, None where it is.

    The camera fits its sensor to the image's width, so another aspect shows more or less above and below and the
    plate, which Blender fits into the frame, no longer lies on its depth.
    """
    width, height = plate_size(depth)
    render = scene.render
    aspect = render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y)
    if abs(aspect * height / (width * pixel_aspect(depth)) - 1.0) < 0.005:
        return None
    return (
        f"The render size {render.resolution_x}x{render.resolution_y} has another aspect than the plate; set it to "
        f"{width}x{height} (Fit Scene to Clip) so that plate and depth fill the camera view alike."
    )


def intrinsics(depth: Depth, shot: Shot, focal_length: float | None = None) -> Camera:
    """The camera of a shot, or one of a focal length on a sensor 36 mm wide; Problem where there is neither."""
    return _intrinsics(depth, shot, focal_length)


def baked_camera(known: Camera, frames: Iterable[int], *, world: Matrix, scale: float, name: str) -> bpy.types.Object:
    """A camera without a parent, in no collection, keyed at source frames where it stands in the scene.

    `scale` multiplies its path, and `world` takes that, z up, into the scene: a rotation and a translation. One without
    poses stands still.
    """
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    _set_lens(camera.data, known, 0)
    camera.rotation_mode = "QUATERNION"
    poses = {pose.frame: Matrix(pose.camera_to_world) for pose in known.poses}
    before = None
    for frame in frames:
        matrix = poses.get(frame, Matrix.Identity(4))
        matrix.translation = scale * matrix.translation
        place, turn, _ = (world @ _WORLD @ matrix @ _VIEW).decompose()
        if before is not None:
            turn.make_compatible(before)
        camera.location = place
        camera.rotation_quaternion = before = turn
        for path in ("location", "rotation_quaternion"):
            camera.keyframe_insert(path, frame=frame)
    return camera


# ------------------------------------------------------------------------------------------------------------ parts


def _find(kind: str, depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object | None:
    image = find_disparity_image(depth)
    return None if image is None else _in_scene(kind, image, shot, scene)


def _in_scene(kind: str, image: bpy.types.Image, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object | None:
    form = "CAMERA" if kind == "camera" else None
    things = lookup.tagged(kind, image=image, shot=shot.first_frame, form=form)
    return next((thing for thing in things if lookup.is_in(thing, scene)), None)


def _intrinsics(depth: Depth, shot: Shot, focal_length: float | None) -> Camera:
    if focal_length is not None:
        if not 0 < focal_length < math.inf:
            raise Problem(f"The focal length must be above 0 mm, not {focal_length:g}.")
        width, height = plate_size(depth)
        return Camera.from_lens(focal_length, SENSOR_WIDTH, width=width, height=height)
    if shot.camera is None:
        raise Problem(
            f"{depth.sequence.estimator} gave no camera for frames {shot.first_frame}-{shot.last_frame} of "
            f"{depth.name}; give a focal length."
        )
    return shot.camera


def _rig(depth: Depth, shot: Shot, scene: bpy.types.Scene, collection: bpy.types.Collection) -> bpy.types.Object:
    image = disparity_image(depth)
    rig = _in_scene("rig", image, shot, scene)
    if rig is None:
        rig = bpy.data.objects.new(depth.label("Rig", shot), None)
        rig.empty_display_type = "ARROWS"
        rig.empty_display_size = distances(depth, shot).near
        lookup.link(lookup.tag(rig, "rig", image=image, shot=shot.first_frame), collection, [scene])
    if not isinstance(rig.get(SCALE), (int, float)):
        is_metric = depth.sequence.unit == "metres" and scene.unit_settings.system != "NONE"
        rig[SCALE] = 1.0 / scene.unit_settings.scale_length if is_metric else 1.0
        rig.id_properties_ui(SCALE).update(
            default=1.0, min=1e-6, soft_min=0.01, soft_max=100.0, description="Multiplies depth and camera path alike"
        )
    rig.lock_scale = (True, True, True)
    driven = {
        d.array_index for d in (rig.animation_data.drivers if rig.animation_data else ()) if d.data_path == "scale"
    }
    for axis in {0, 1, 2} - driven:
        nodes.drive(rig, "scale", {"scale": (rig, SCALE_PATH)}, index=axis)
    return rig


def _adopt(camera: bpy.types.Object, depth: Depth, shot: Shot, scene: bpy.types.Scene) -> None:
    """Hang what was built from the shot's depth under a camera, where the one that it hung under was deleted."""
    image = disparity_image(depth)
    for thing in lookup.tagged(None, image=image, shot=shot.first_frame):
        is_hung = tags.text(thing, tags.KIND) not in ("camera", "rig") and lookup.is_in(thing, scene)
        if is_hung and is_lost(thing, scene):
            hang(thing, camera)
            for modifier in thing.modifiers:
                if modifier.type == "NODES" and modifier.node_group and tags.text(modifier.node_group, tags.KIND):
                    follow_lens(modifier, camera, depth)


def _set_lens(data: bpy.types.Camera, known: Camera, frame_offset: int) -> None:
    """Focal length and principal point, keyed where they change from frame to frame.

    Shifts are in sensor widths since the sensor fits the image's width: positive ones move the image's middle
    right of and above the axis, so the principal point lies left of and below the middle.
    """
    data.type = "PERSP"
    data.sensor_fit = "HORIZONTAL"
    data.sensor_width = SENSOR_WIDTH
    data.lens_unit = "MILLIMETERS"
    names = ("lens", "shift_x", "shift_y")
    _forget_action(data)
    for name, value in zip(names, lens_at(known, None)):
        setattr(data, name, value)
    if any(pose.focal_length is not None or pose.principal_point is not None for pose in known.poses):
        action = bpy.data.actions.new(data.name)
        (data.animation_data or data.animation_data_create()).action = action
        values = np.array([lens_at(known, pose) for pose in known.poses])
        frames = [pose.frame + frame_offset for pose in known.poses]
        for name, column in zip(names, values.T):
            _key(nodes.fcurve(data, name, 0), frames, column)
    k1, k2, *others = (*known.distortion, 0.0, 0.0)
    if any((k1, k2)) and known.distortion_model == "polynomial" and not any(others):
        data[DISTORTION] = k1, k2
    else:
        data.pop(DISTORTION, None)


def lens_at(known: Camera, pose: Pose | None) -> tuple[float, float, float]:
    """Focal length on a sensor 36 mm wide, fitted to the image's width, and Blender's shifts; at a pose's frame or in
    general.
    """
    focal, _, cx, cy = known.intrinsics(pose)
    shift_x = ((known.width - 1) / 2 - cx) / known.width
    shift_y = (cy - (known.height - 1) / 2) / (known.width * known.pixel_aspect)
    return focal / known.width * SENSOR_WIDTH, shift_x, shift_y


def _forget_action(animated: bpy.types.ID) -> None:
    """Take the action off a datablock, and out of the file where nothing else has it."""
    if animated.animation_data is not None and animated.animation_data.action is not None:
        old = animated.animation_data.action
        animated.animation_data.action = None
        if old.users == 0:
            lookup.discard(old)


def _key(curve: bpy.types.FCurve, frames: Sequence[int], values: Sequence[float]) -> None:
    """Key a value at every frame, straight in between."""
    curve.keyframe_points.add(len(frames))
    curve.keyframe_points.foreach_set("co", np.stack([frames, values], axis=1).ravel())
    for key in curve.keyframe_points:
        key.interpolation = "LINEAR"
    curve.update()


def _set_clipping(data: bpy.types.Camera, rig: bpy.types.Object, depth: Depth, shot: Shot) -> None:
    """Let clipping enclose the depth, and follow the rig's scale, which Blender does not apply to it."""
    wanted = distances(depth, shot)
    for name, distance in (("clip_start", 0.1 * wanted.near_limit), ("clip_end", 10.0 * wanted.far_limit)):
        nodes.drive(data, name, {"scale": (rig, SCALE_PATH)}, f"scale * {distance:.9g}")


def path_unit(depth: Depth, shot: Shot) -> float:
    """Length of the path's unit in that of the shot's distances: another one once those are a camera solve's."""
    fit = depth.fit_of(shot)
    return 1.0 if fit is None or depth.quantity_of(shot) == "relative_disparity" else 1.0 / fit.middle[0]


def _set_path(camera: bpy.types.Object, known: Camera, frame_offset: int, unit: float) -> None:
    """Key location and rotation at every pose, or stand still at the rig's origin, looking ahead."""
    _forget_action(camera)
    camera.rotation_mode = "QUATERNION"
    camera.scale = (1, 1, 1)
    if not known.poses:
        camera.location, camera.rotation_quaternion, _ = (_WORLD @ _VIEW).decompose()
        return
    places, turns = [], []
    for pose in known.poses:
        place, turn, _ = (_WORLD @ Matrix(pose.camera_to_world) @ _VIEW).decompose()
        if turns:
            turn.make_compatible(turns[-1])
        places.append(place * unit)
        turns.append(turn)
    camera.location, camera.rotation_quaternion = places[0], turns[0]
    frames = [pose.frame + frame_offset for pose in known.poses]
    action = bpy.data.actions.new(camera.name)
    camera.animation_data_create().action = action
    for path, values in (("location", places), ("rotation_quaternion", turns)):
        for index in range(len(values[0])):
            _key(nodes.fcurve(camera, path, index), frames, [value[index] for value in values])


def _set_background(data: bpy.types.Camera, depth: Depth) -> None:
    ours = (b for b in data.background_images if b.image and b.image.get(tags.KIND) == "plate")  # here or elsewhere
    emptied = (b for b in data.background_images if b.source == "IMAGE" and b.image is None)
    shown = next(ours, None)
    if shown is None:
        shown = next(emptied, None)
        if shown is None and len(data.background_images):
            return  # the artist has put another in its place
        shown = shown or data.background_images.new()
        shown.source, shown.frame_method, shown.alpha = "IMAGE", "FIT", 1.0
        data.show_background_images = True
    put_plate(shown, depth)
    show_plate(shown.image_user, depth)
    sequence = depth.sequence
    if sequence.first_frame == sequence.last_frame:
        # a background shows within its user's range alone, which for a single frame lies before any timeline
        set_where_new(shown.image_user, frame_start=sequence.first_frame + depth.frame_offset)
