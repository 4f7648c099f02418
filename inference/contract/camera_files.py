"""Camera paths as files: Fathom's own, Nuke's and Houdini's ``.chan``, and COLMAP's text. Standard library only.

A file of Fathom's is JSON: ``{"fathom_camera": 1, "camera": {...}}`` with the fields of `Camera`, its poses by source
frame. A ``.chan`` has a line per frame: frame, position, rotation in degrees about x, y and z, and the vertical field
of view; the camera looks along -z, y is up. COLMAP's ``cameras.txt`` and ``images.txt`` lie in one folder; the frame of
an image is that of the plate's file of its name, else the last number in its name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from . import own_files, records
from .camera import Camera, DistortionModel, Matrix4, Pose
from .hints import setting
from .numbering import frame_number
from .untrusted import in_a_line, is_folder, read_lines, read_text

VERSION = 1
"""Of Fathom's own files."""
ROTATION_ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
MOST_FRAMES = 100_000
"""More than a job file has room for."""
NUKES_ORDER = "ZXY"
"""The order of rotations of a camera in Nuke unless another is chosen: about z first."""
_LEAST_VIEW = 1e-6
"""Degrees."""
_COLMAP: dict[str, tuple[int, DistortionModel, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (1, "polynomial", ()),
    "PINHOLE": (2, "polynomial", ()),
    "SIMPLE_RADIAL": (1, "polynomial", (0,)),
    "RADIAL": (1, "polynomial", (0, 1)),
    "OPENCV": (2, "brown", (0, 1, -1, -1, 2, 3)),
}
"""COLMAP's models: focal lengths, our model, and for each of its coefficients the place among theirs (-1: 0)."""


class CameraFileError(ValueError):
    """A file that is no usable camera path; the message is one sentence for the artist."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """The content of a camera file of ours."""

    camera: Camera
    fathom_camera: int = VERSION


def save(camera: Camera, path: str | Path) -> None:
    """Write a camera in one step."""
    own_files.save_text(path, records.dumps(_File(camera=camera)) + "\n")


def load(
    path: str | Path,
    *,
    width: int,
    height: int,
    files: Mapping[str, int] | None = None,
    focal_length: float | None = None,
    rotation_order: str = NUKES_ORDER,
) -> Camera:
    """Read a camera path.

    Parameters
    ----------
    path : str or Path
        A file, or COLMAP's folder or one of its two files.
    width, height : int
        Of the plate, in pixels; a ``.chan`` has no size of its own.
    files : dict of str to int or None
        The frames of an image sequence's files, by name.
    focal_length : float or None
        In pixels of the plate, for a ``.chan`` without fields of view.
    rotation_order : str
        Of a ``.chan``, which does not say: one of `ROTATION_ORDERS`, the first rotation first.

    Raises
    ------
    CameraFileError
        One sentence: there is no such file, or it is none of these, is damaged, or has a lens that Fathom does not
        know.
    """
    path = Path(path)
    try:
        if is_folder(path) or path.name.lower() in {"images.txt", "cameras.txt"}:
            camera = _colmap(path if is_folder(path) else path.parent, files or {})
            has_lens = True
        elif path.suffix.lower() == ".chan":
            camera, has_lens = _chan(path, size=(width, height), focal_length=focal_length, order=rotation_order)
        else:
            camera, has_lens = _own(read_text(path), path.name), True
        records.check(camera, where=path.name)
    except OSError as error:
        raise CameraFileError(
            f"The camera file {error.filename or path} cannot be read ({error.strerror}); check the path."
        ) from error
    except CameraFileError:
        raise
    except (ValueError, ArithmeticError) as error:  # of `records`, or a number that Python does not take
        raise CameraFileError(f"The camera cannot be read: {in_a_line(str(error))}.") from error
    if not camera.poses:
        raise CameraFileError(f"The camera file {path} has no poses.")
    if has_lens and focal_length is not None:
        raise CameraFileError(f"{path.name} has a focal length of its own: leave {setting('focal_length')} out.")
    return replace(camera, origin=camera.origin or f"FILE {in_a_line(path.name)}")


def _own(text: str, name: str) -> Camera:
    data = records.parse(text, where=name)
    version = data.get("fathom_camera") if isinstance(data, dict) else None
    if version is None:
        raise CameraFileError(
            f"{name} is no camera path that Fathom knows: use a camera file of Fathom's, a .chan file, or the folder "
            "of COLMAP's cameras.txt and images.txt."
        )
    if isinstance(version, int) and version > VERSION:
        raise CameraFileError(f"{name} was written by a newer Fathom; update Fathom to read it.")
    return records.from_json(_File, data, where=name, strict=False).camera


# ---------------------------------------------------------------------------------------------------------- .chan


def _chan(path: Path, *, size: tuple[int, int], focal_length: float | None, order: str) -> tuple[Camera, bool]:
    """The camera, and whether its lens is the file's own."""
    name, (width, height) = path.name, size
    if order not in ROTATION_ORDERS:
        raise CameraFileError(
            f"The rotation order must be one of {', '.join(ROTATION_ORDERS)}, not '{in_a_line(order)}'."
        )
    rows: dict[int, tuple[Matrix4, float]] = {}
    has_lens = False
    for number, values in _numbers(path, least=7):
        _require_few(rows, name)
        frame, view = values[0], values[7] if len(values) > 7 else None
        if frame != int(frame) or int(frame) in rows:
            raise CameraFileError(
                f"Line {number} of {name} has the frame {frame:g}, which is no frame or is there twice."
            )
        if view is not None and not _LEAST_VIEW < view < 180:
            raise CameraFileError(f"Line {number} of {name} has a vertical field of view of {view:g} degrees.")
        has_lens |= view is not None
        focal = focal_length if view is None else height / 2 / math.tan(math.radians(view) / 2)
        if focal is None:
            raise CameraFileError(
                f"{name} has no fields of view in its eighth column: set {setting('focal_length')} as well."
            )
        rows[int(frame)] = (_of_chan(values[1:4], values[4:7], order), focal)
    if not rows:
        raise CameraFileError(f"{name} has no frames.")
    common = sorted(focal for _, focal in rows.values())[len(rows) // 2]
    poses = tuple(
        Pose(frame=frame, camera_to_world=matrix, focal_length=None if focal == common else focal)
        for frame, (matrix, focal) in sorted(rows.items())
    )
    middle = ((width - 1) / 2, (height - 1) / 2)
    camera = Camera(width=width, height=height, focal_length=common, principal_point=middle, poses=poses)
    return camera, has_lens


def _of_chan(place: list[float], degrees: list[float], order: str) -> Matrix4:
    """A camera-to-world matrix by OpenCV's axes, of camera and world, from one with y up and the camera along -z."""
    turn = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    for axis in order:
        index = "XYZ".index(axis)
        sine, cosine = math.sin(math.radians(degrees[index])), math.cos(math.radians(degrees[index]))
        a, b = (index + 1) % 3, (index + 2) % 3
        own = [[float(row == column) for column in range(3)] for row in range(3)]
        own[a][a], own[a][b], own[b][a], own[b][b] = cosine, -sine, sine, cosine
        turn = [[sum(own[r][k] * turn[k][c] for k in range(3)) for c in range(3)] for r in range(3)]
    flip = (1.0, -1.0, -1.0)
    rows = [[flip[r] * turn[r][c] * flip[c] for c in range(3)] + [flip[r] * place[r]] for r in range(3)]
    return tuple(tuple(row) for row in [*rows, [0.0, 0.0, 0.0, 1.0]])  # type: ignore[return-value]


# --------------------------------------------------------------------------------------------------------- COLMAP


def _colmap(folder: Path, files: Mapping[str, int]) -> Camera:
    lenses: dict[str, Camera] = {}
    for number, fields in _lines(folder / "cameras.txt"):
        _require_few(lenses, "cameras.txt")
        if len(fields) < 5 or fields[1] not in _COLMAP:
            known = ", ".join(_COLMAP)
            raise CameraFileError(
                f"Line {number} of cameras.txt has the model '{in_a_line(fields[1] if len(fields) > 1 else '')}', and "
                f"Fathom knows {known}: undistort the images in COLMAP, or solve with one of these."
            )
        lenses[fields[0]] = _lens(number, fields)
    found: dict[int, tuple[Matrix4, Camera]] = {}
    for line in _image_lines(folder / "images.txt"):
        _require_few(found, "images.txt")
        fields = line.split(maxsplit=9)
        if len(fields) < 10 or fields[8] not in lenses:
            raise CameraFileError(f"images.txt has a line that is no image of its cameras: '{in_a_line(line)}'.")
        name = Path(fields[9].strip()).name
        frame = files.get(name, frame_number(name))
        if frame in found:
            raise CameraFileError(f"images.txt has two images of frame {frame}; the second is {in_a_line(name)}.")
        values = [_number(value, "images.txt") for value in fields[1:8]]
        found[frame] = (_of_colmap(values[:4], values[4:]), lenses[fields[8]])
    if not found:
        raise CameraFileError("images.txt has no images.")
    common = next(iter(found.values()))[1]
    alike = (common.width, common.height, common.distortion, common.distortion_model, common.pixel_aspect)
    poses = []
    for frame, (matrix, lens) in sorted(found.items()):
        if (lens.width, lens.height, lens.distortion, lens.distortion_model, lens.pixel_aspect) != alike:
            raise CameraFileError(
                "cameras.txt has images of several sizes or lens distortions: solve the shot again with one camera."
            )
        own = lens.focal_length, lens.principal_point
        usual = common.focal_length, common.principal_point
        focal, point = (None if mine == theirs else mine for mine, theirs in zip(own, usual))
        poses.append(Pose(frame=frame, camera_to_world=matrix, focal_length=focal, principal_point=point))  # type: ignore[arg-type]
    return replace(common, poses=tuple(poses))


def _image_lines(path: Path) -> Iterator[str]:
    """The lines that describe images: each is followed by one of its points, which may be empty."""
    is_image, has_gap = True, False
    for line in read_lines(path):
        if line.lstrip().startswith("#"):
            continue
        if line.strip() and (is_image or has_gap):
            yield "" if has_gap else line  # empty lines are an end, or else no images
        has_gap = has_gap or (is_image and not line.strip())
        is_image = not is_image


def _lens(number: int, fields: list[str]) -> Camera:
    focals, model, places = _COLMAP[fields[1]]
    values = [_number(value, "cameras.txt") for value in fields[2:]]
    size, lengths, point, rest = (
        values[:2],
        values[2 : 2 + focals],
        values[2 + focals : 4 + focals],
        values[4 + focals :],
    )
    if len(point) < 2 or len(rest) <= max(places, default=-1) or min(*size, *lengths) <= 0:
        raise CameraFileError(f"Line {number} of cameras.txt lacks values of its model {fields[1]}.")
    return Camera(
        width=int(size[0]),
        height=int(size[1]),
        focal_length=lengths[0],
        principal_point=(point[0] - 0.5, point[1] - 0.5),  # whose pixel centers lie at .5
        distortion=tuple(rest[place] if place >= 0 else 0.0 for place in places) or (0.0, 0.0),
        distortion_model=model,
        pixel_aspect=lengths[-1] / lengths[0],
    )


def _of_colmap(quaternion: list[float], shift: list[float]) -> Matrix4:
    """A camera-to-world matrix from a world-to-camera quaternion (w first) and translation."""
    length = math.hypot(*quaternion)
    if not 1e-9 < length < 1e9:
        raise CameraFileError("images.txt has a rotation of only zeros, or of huge numbers.")
    w, x, y, z = (value / length for value in quaternion)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    turned = [[rows[c][r] for c in range(3)] + [-sum(rows[k][r] * shift[k] for k in range(3))] for r in range(3)]
    return tuple(tuple(row) for row in [*turned, [0.0, 0.0, 0.0, 1.0]])  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------------------- lines


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line that is neither empty nor a comment."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.split()


def _numbers(path: Path, *, least: int) -> Iterator[tuple[int, list[float]]]:
    for number, words in _lines(path):
        if len(words) < least:
            raise CameraFileError(
                f"Line {number} of {path.name} has {len(words)} values, and a frame with position and rotation has "
                f"{least}."
            )
        yield number, [_number(word, path.name) for word in words]


def _require_few(found: Collection[object], name: str) -> None:
    if len(found) >= MOST_FRAMES:
        raise CameraFileError(f"{name} has more than {MOST_FRAMES} frames or cameras: leave out those of other shots.")


def _number(word: str, name: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CameraFileError(f"{name} has '{in_a_line(word)}' where a number belongs.")
    return value
