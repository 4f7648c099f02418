"""A camera that Blender knows already, frame by frame: a clip's camera solve, or a camera of the scene.

Both become the contract's `Camera`, with poses by source frame, in the unit of length that they have in Blender; its
world is Blender's, turned into OpenCV's axes, so that what is built from it with a rig at the origin stands where the
solve or the scene's camera does. Frames without a pose are named, never interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
from mathutils import Matrix

from ..inference.contract import camera_files, numbering, records
from ..inference.contract.camera import Camera, DistortionModel, Pose
from . import source
from .camera import stretch_problem
from .problems import Problem
from .solved_tracks import camera_object
from .source import Plate

WORLD = Matrix(((1, 0, 0), (0, 0, 1), (0, -1, 0))).to_4x4()
"""OpenCV's world (y down, z ahead) in Blender's (z up, y ahead)."""

VIEW = Matrix.Diagonal((1, -1, -1, 1))
"""Blender's camera axes (y up, looking along -z) in OpenCV's."""

_SAME_ASPECT = 0.005
"""Largest relative difference of the aspects of a clip and a plate, or a render and a plate, that are taken for one."""

_MODELS: dict[str, tuple[DistortionModel, tuple[str, ...]]] = {
    "POLYNOMIAL": ("polynomial", ("k1", "k2", "k3")),
    "DIVISION": ("division", ("division_k1", "division_k2")),
    "NUKE": ("nuke", ("nuke_k1", "nuke_k2", "nuke_p1", "nuke_p2")),
    "BROWN": ("brown", ("brown_k1", "brown_k2", "brown_k3", "brown_k4", "-brown_p2", "brown_p1")),
}
"""Of Blender's distortion models: the contract's name, and the tracking camera's properties with its coefficients.

Blender's y axis points up, the contract's down, which turns the sign of the term that is odd in y; and Blender's names
of Brown's tangential coefficients are each other's.
"""


@dataclass(frozen=True, kw_only=True)
class SolvedCamera:
    """The camera of some frames.

    Attributes
    ----------
    camera : Camera
        With a pose for each frame that has one.
    missing : tuple of int
        The source frames without a pose.
    error : float or None
        Average reprojection error of the solve, in pixels of the clip; None for a camera of the scene.
    """

    camera: Camera
    missing: tuple[int, ...]
    error: float | None = None


def of_clip(clip: bpy.types.MovieClip, plate: Plate | None = None) -> SolvedCamera:
    """The camera solve of a clip: poses, focal length, principal point and lens distortion.

    Parameters
    ----------
    clip : MovieClip
        Its camera's reconstruction counts, those of tracked objects do not.
    plate : Plate or None
        The frames that are asked for, of this clip's file or of another one of the same shot, such as at another
        resolution; then the frames of images are those of their names where it has all that are asked for, else their
        files' first frames are taken for the same. None: all frames that the clip shows.

    Raises
    ------
    Problem
        There is no solve, or none of these frames; lens or size are unusable; the clip's aspect is not the plate's.
    SourceError
        Without a plate: as `source.from_clip`.
    """
    reconstruction = _reconstruction(clip)
    plate = source.from_clip(clip) if plate is None else plate
    camera = lens_of_clip(clip)
    first = _source_frame(clip, plate)  # of the frame that Blender's tracking counts as 1
    poses = {first + solved.frame - 1: (solved.matrix, None, None) for solved in reconstruction.cameras}
    return _solved(
        replace(camera, origin=f"SOLVE {clip.name}"),
        poses,
        plate,
        what=f"The camera solve of {clip.name}",
        error=reconstruction.average_error,
    )


def lens_of_clip(clip: bpy.types.MovieClip) -> Camera:
    """The lens of a clip's tracking camera, without poses, for images of the clip's size; `Problem` as `of_clip`."""
    width, height = clip.size
    if width < 1 or height < 1:
        raise Problem(f"The size of {clip.name} is not known, since its footage is missing: relink it.")
    lens = clip.tracking.camera
    values = (lens.focal_length, lens.sensor_width, lens.pixel_aspect)
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise Problem(f"The tracking camera of {clip.name} has no lens: set it in the Movie Clip Editor, under Track.")
    model, names = _MODELS.get(lens.distortion_model, ("", ()))
    if not model:
        raise Problem(
            f"The lens of {clip.name} has the distortion model {lens.distortion_model.capitalize()}, which Fathom does "
            "not know: choose Polynomial, Division, Nuke or Brown, and solve the camera again."
        )
    across, up = lens.principal_point_pixels
    return _checked(
        Camera(
            width=width,
            height=height,
            focal_length=lens.focal_length / lens.sensor_width * width,
            principal_point=(across - 0.5, height - up - 0.5),
            distortion=tuple(_coefficient(lens, name) for name in names),
            distortion_model=model,
            pixel_aspect=lens.pixel_aspect,
        ),
        f"The lens of {clip.name}",
    )


def of_scene_camera(camera: bpy.types.Object, scene: bpy.types.Scene, plate: Plate) -> SolvedCamera:
    """A camera of the scene at the frames of a plate, whatever moves it: keys, parents, constraints, drivers.

    The scene is evaluated at each frame, and is left at the frame that it was at. A camera that follows a clip's solve
    by a Camera Solver constraint has that clip's lens distortion, and no pose where the solve has none.

    Raises
    ------
    Problem
        It is no perspective camera of the scene; it mirrors; the render's aspect is not the plate's; the scene's time
        is stretched, which moves it to other frames than the plate.
    """
    if camera.type != "CAMERA" or camera.data.type != "PERSP":
        raise Problem(f"{camera.name} is no perspective camera: choose one.")
    if scene.objects.get(camera.name) != camera:
        raise Problem(f"{camera.name} is not in the scene {scene.name}: choose one of its cameras.")
    if (problem := stretch_problem(scene)) is not None:
        raise Problem(problem)
    width, height = _size(plate)
    aspect = _pixel_aspect(scene, plate)
    solver = _followed_clip(camera, scene)
    solved_frames = None
    lens = Camera(width=width, height=height, focal_length=1.0, principal_point=(0.0, 0.0), pixel_aspect=aspect)
    if solver is not None:
        solved_frames = {each.frame + solver.frame_start - 1 for each in _reconstruction(solver).cameras}
        filmed = lens_of_clip(solver)
        lens = replace(lens, distortion=filmed.distortion, distortion_model=filmed.distortion_model)
    poses = {}
    with _returning(scene):
        for number in range(plate.first_frame, plate.last_frame + 1):
            frame = number + plate.frame_offset
            if solved_frames is not None and frame not in solved_frames:
                continue
            scene.frame_set(frame)
            depsgraph = _depsgraph(scene)
            shown = camera.evaluated_get(depsgraph)
            focal, point = _projected(shown, depsgraph, width, height, aspect)
            poses[number] = (shown.matrix_world.copy(), focal, point)
    return _solved(replace(lens, origin=f"CAMERA {camera.name}"), poses, plate, what=f"The camera {camera.name}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which camera an estimate uses.

    Attributes
    ----------
    kind : 'SOLVE', 'CAMERA' or 'FILE'
        The camera solve of a clip, a camera of the scene, or a camera file, see `inference.contract.camera_files`.
    name : str
        Of the movie clip (empty: the one that shows the plate's file), of the object, or the file's path.
    rotation_order : str
        Of a ``.chan`` file.
    focal_length : float or None
        In widths of the image, for a ``.chan`` file without any.
    """

    kind: str
    name: str = ""
    rotation_order: str = camera_files.NUKES_ORDER
    focal_length: float | None = None


def read(choice: Choice, plate: Plate, *, scene: bpy.types.Scene | None = None) -> SolvedCamera:
    """The chosen camera at the frames of a plate.

    Parameters
    ----------
    scene : Scene or None
        The one that a camera of the scene belongs to. None: the context's, or else the first that has it.

    Raises
    ------
    Problem
        There is no such clip, object or file, or it is unusable; as the functions above.
    """
    if choice.kind == "SOLVE":
        if choice.name and choice.name not in bpy.data.movieclips:
            raise Problem(f"There is no movie clip {choice.name} in this file: choose another solved camera.")
        return of_clip(clip_of_plate(plate, named=bpy.data.movieclips.get(choice.name)), plate)
    if choice.kind == "FILE":
        return of_file(choice, plate)
    camera = bpy.data.objects.get(choice.name)
    if camera is None:
        raise Problem(f"There is no camera {choice.name} in this file: choose another solved camera.")
    owner = scene or bpy.context.scene
    if owner is None or owner.objects.get(camera.name) != camera:
        owner = next(iter(camera.users_scene), owner)
    found = of_scene_camera(camera, owner, plate)
    _evaluated[choice] = (plate, found)
    return found


def known(choice: Choice, plate: Plate) -> SolvedCamera:
    """As `read`, but nothing of the scene is evaluated: of a scene's camera, what was read last.

    Timers ask, which must not move a scene to other frames. Problem where a camera was not read yet.
    """
    if choice.kind != "CAMERA":
        return read(choice, plate)
    of, found = _evaluated.get(choice, (None, None))
    if found is None or of != plate:
        raise Problem(f"The camera {choice.name} was not read yet.")
    return found


_evaluated: dict[Choice, tuple[Plate, SolvedCamera]] = {}
"""What was read of cameras of the scene."""


def of_file(choice: Choice, plate: Plate) -> SolvedCamera:
    """A camera file; its frames are those of the plate's files. `Problem` as `of_clip`."""
    width, height = _size(plate)
    path = source.absolute(choice.name, None)
    numbers = numbering.frame_numbers(plate.source.files) if plate.source.files else ()
    try:
        camera = camera_files.load(
            path,
            width=width,
            height=height,
            files=dict(zip(plate.source.files, numbers)),
            focal_length=None if choice.focal_length is None else choice.focal_length * width,
            rotation_order=choice.rotation_order,
        )
    except camera_files.CameraFileError as error:
        raise Problem(str(error)) from error
    wanted = range(plate.first_frame, plate.last_frame + 1)
    poses = tuple(pose for pose in camera.poses if pose.frame in wanted)
    what = f"The camera file {Path(path).name}"
    _require_some([pose.frame for pose in camera.poses], [pose.frame for pose in poses], plate, what)
    _require_aspect(camera, plate, what)
    there = {pose.frame for pose in poses}
    missing = tuple(number for number in wanted if number not in there)
    return SolvedCamera(camera=replace(camera, poses=poses).scaled(width, height), missing=missing)


def clip_of_plate(plate: Plate, *, named: bpy.types.MovieClip | None = None) -> bpy.types.MovieClip:
    """The movie clip whose solve belongs to a plate: the named one, or the one that shows the plate's file.

    Problem where none does, or several have a solve.
    """
    if named is not None:
        return named
    showing = [clip for clip in bpy.data.movieclips if shows(clip, plate)]
    solved = [clip for clip in showing if camera_object(clip).reconstruction.is_valid]
    if len(solved) > 1:
        names = ", ".join(clip.name for clip in solved)
        raise Problem(f"Several clips of {plate.name} have a camera solve ({names}): choose one of them.")
    if not showing:
        raise Problem(
            f"No movie clip of this file shows {plate.name}, so it has no camera solve: open it in the Movie Clip "
            "Editor and solve its camera, or choose a clip that is solved."
        )
    return (solved or showing)[0]


def shows(clip: bpy.types.MovieClip, plate: Plate) -> bool:
    """Whether a clip is of the same file, or files, as a plate; no file is opened."""
    path = Path(source.absolute(clip.filepath, clip))
    if plate.source.kind == "movie":
        return path == Path(plate.source.path) and not plate.source.stream  # clips show the first
    in_folder = path.parent == Path(plate.source.path)  # a strip, or the clip, may begin at a later file
    return in_folder and numbering.frame_in(plate.source.files, path.name) is not None


# ------------------------------------------------------------------------------------------------------------ a clip


def _reconstruction(clip: bpy.types.MovieClip) -> bpy.types.MovieTrackingReconstruction:
    found = camera_object(clip).reconstruction
    if not found.is_valid or not len(found.cameras):
        raise Problem(
            f"The camera of {clip.name} is not solved: track points in the Movie Clip Editor and press Solve Camera "
            "Motion, or leave the solved camera out."
        )
    return found


def _source_frame(clip: bpy.types.MovieClip, plate: Plate) -> int:
    """The source frame of the plate that the clip's frame 1 shows, in the numbers that its tracks and solve have."""
    if plate.source.kind == "sequence" and clip.source == "SEQUENCE":
        number = numbering.frame_number(Path(source.absolute(clip.filepath, clip)).name)
        if shows(clip, plate) or number <= plate.first_frame <= plate.last_frame < number + clip.frame_duration:
            return number + clip.frame_offset
    first = 1 if plate.source.kind == "movie" else numbering.frame_numbers(plate.source.files)[0]
    return first + clip.frame_offset


def _coefficient(lens: bpy.types.MovieTrackingCamera, name: str) -> float:
    """A coefficient of Blender's, its sign turned where the name begins with ``-``; 0 where the version has none."""
    value = float(getattr(lens, name.removeprefix("-"), 0.0))
    return -value if name.startswith("-") else value


# ----------------------------------------------------------------------------------------------- a camera of the scene


def _followed_clip(camera: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.MovieClip | None:
    """The clip whose solve moves a camera by a Camera Solver constraint; None where there is none."""
    for constraint in camera.constraints:
        if constraint.type == "CAMERA_SOLVER" and not constraint.mute and constraint.influence > 0:
            return scene.active_clip if constraint.use_active_clip else constraint.clip
    return None


def _depsgraph(scene: bpy.types.Scene) -> bpy.types.Depsgraph:
    if bpy.context.scene == scene:
        return bpy.context.evaluated_depsgraph_get()
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        return bpy.context.evaluated_depsgraph_get()


@contextmanager
def _returning(scene: bpy.types.Scene) -> Iterator[None]:
    """Bring a scene back to its frame."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)


def _projected(
    camera: bpy.types.Object, depsgraph: bpy.types.Depsgraph, width: int, height: int, aspect: float
) -> tuple[float, tuple[float, float]]:
    """Focal length and principal point in pixels, from the projection that Blender itself renders with.

    Its x and y run from -1 to 1 over the image, y upwards.
    """
    matrix = camera.calc_matrix_camera(
        depsgraph, x=width, y=height, scale_x=max(aspect, 1.0), scale_y=max(1 / aspect, 1.0)
    )
    point = (width / 2 * (1 - matrix[0][2]) - 0.5, height / 2 * (1 + matrix[1][2]) - 0.5)
    return matrix[0][0] * width / 2, point


def _pixel_aspect(scene: bpy.types.Scene, plate: Plate) -> float:
    """Width of the plate's pixels over their height, by the render that the camera is made for.

    Problem where its image has another aspect than the plate, so that it is not known how the plate lies in it.
    """
    width, height = _size(plate)
    render = scene.render
    stored, pixel = render.resolution_x / render.resolution_y, render.pixel_aspect_x / render.pixel_aspect_y
    if abs(stored * height / width - 1) < _SAME_ASPECT:
        return pixel
    if abs(stored * pixel * height / width - 1) < _SAME_ASPECT:
        return 1.0
    raise Problem(
        f"The render size {render.resolution_x}x{render.resolution_y} of {scene.name} has another aspect than the "
        f"plate, {width}x{height}: set it to the plate's, so that it is known what the camera sees."
    )


# ----------------------------------------------------------------------------------------------------------- both


def _solved(
    camera: Camera,
    found: Mapping[int, tuple[Matrix, float | None, tuple[float, float] | None]],
    plate: Plate,
    *,
    what: str,
    error: float | None = None,
) -> SolvedCamera:
    """The camera at the plate's size with the poses of its frames, from matrices and lenses by source frame."""
    wanted = range(plate.first_frame, plate.last_frame + 1)
    there = [number for number in wanted if number in found]
    _require_some(found, there, plate, what)
    focal, point = _common(found[number][1] for number in there), _common(found[number][2] for number in there)
    whole = replace(
        camera,
        focal_length=camera.focal_length if focal is None else focal,
        principal_point=camera.principal_point if point is None else point,
    )
    poses = []
    for number in there:
        matrix, own_focal, own_point = found[number]
        poses.append(
            Pose(
                frame=number,
                camera_to_world=_rows(matrix, what, number),
                focal_length=None if own_focal == whole.focal_length else own_focal,
                principal_point=None if own_point == whole.principal_point else own_point,
            )
        )
    _require_aspect(whole, plate, what)
    checked = _checked(replace(whole, poses=tuple(poses)), what)
    missing = tuple(number for number in wanted if number not in found)
    return SolvedCamera(camera=checked.scaled(*_size(plate)), missing=missing, error=error)


def _require_some(found: Collection[int], there: Collection[int], plate: Plate, what: str) -> None:
    if not there:
        has = f"the frames {min(found)}-{max(found)}" if found else "no frames"
        raise Problem(
            f"{what} has {has} and none of the frames {plate.first_frame}-{plate.last_frame} of {plate.name}: solve "
            "the camera there, or choose another one."
        )


def _require_aspect(camera: Camera, plate: Plate, what: str) -> None:
    width, height = _size(plate)
    if abs(camera.width * height / (camera.height * width) - 1) > _SAME_ASPECT:
        raise Problem(
            f"{what} is for images of {camera.width}x{camera.height}, which have another aspect than {plate.name}, "
            f"{width}x{height}: use the clip that was solved, or solve this one."
        )


def _common(values: Iterable[float | tuple[float, float] | None]):  # type: ignore[no-untyped-def]
    """The middle one of some values, so that most frames need none of their own; None where there are none."""
    there = sorted(value for value in values if value is not None)
    return there[len(there) // 2] if there else None


def _rows(matrix: Matrix, what: str, number: int) -> Sequence[Sequence[float]]:
    """A camera's matrix in the world, both by Blender's axes, as the contract has it; its scale does not count."""
    place, turn, scale = matrix.decompose()
    if not all(math.isfinite(value) for row in matrix for value in row) or min(map(abs, scale)) < 1e-12:
        raise Problem(f"{what} has no usable position at frame {number}: remove what scales it to nothing.")
    rigid = Matrix.LocRotScale(place, turn, None)
    seen = matrix.normalized()
    if any(abs(a - b) > 1e-3 for one, other in zip(rigid.to_3x3(), seen.to_3x3()) for a, b in zip(one, other)):
        raise Problem(
            f"{what} is mirrored or sheared at frame {number} by the scale of it or of its parents: apply the scale."
        )
    rows = WORLD.inverted() @ rigid @ VIEW
    return tuple(tuple(row) for row in rows)


def _checked(camera: Camera, what: str) -> Camera:
    """A camera whose numbers are those that a job may have."""
    try:
        records.check(camera, where="it")
    except records.RecordError as error:
        raise Problem(f"{what} cannot be used: {error}.") from error
    return camera


def _size(plate: Plate) -> tuple[int, int]:
    width, height = plate.source.width, plate.source.height
    if width is None or height is None:
        raise Problem(f"The size of {plate.name} is not known, so a camera of it is not either; leave the camera out.")
    return width, height
