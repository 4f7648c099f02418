"""KITTI (Geiger et al. 2012) with its annotated depth (Uhrig et al. 2017), as extracted from their archives.

Depth is in ``val/<drive>/proj_depth/groundtruth/image_02/0000000005.png`` (16 bits, 256 a meter, sparse; 0: none),
``<drive>`` such as ``2011_09_26_drive_0002_sync``. Images are those of the raw recordings,
``<date>/<drive>/image_02/data/0000000005.png``, beside ``val``, in a folder ``raw`` beside it, or in the drive's own
folder of depth. Calibration and the path of the left color camera come from the raw recording if it has
them, by the formulas of Geiger et al., "Vision meets robotics: the KITTI dataset" (IJRR 2013): section IV-B for the
chain of calibrations, and for the path the Mercator projection of GPS positions, scaled for the first latitude, with
roll, pitch and yaw of the inertial unit.

The first and last five frames of each drive have no depth.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ground_truth import GroundTruth, GroundTruthError, by_stem, depth_png, images, lines_of, number_of, numbered

_DEPTH = Path("proj_depth") / "groundtruth" / "image_02"
_PICTURES = Path("image_02") / "data"
_DATE = len("2011_09_26")
_EARTH = 6378137.0  # meters
_POLE = 89.9  # degrees of latitude beyond which the projection is undefined
_SINGULAR = 1e-9  # determinant below which a calibration is singular
Matrix = NDArray[np.float64]


def open_clips(root: Path) -> list[GroundTruth]:
    """Every drive with depth, by name, or the single one at `root`; of ``val`` and ``train`` the former is used."""
    if (root / _DEPTH).is_dir():
        return [_open(root)]
    for base in (root / "val", root / "data_depth_annotated" / "val", root):
        drives = sorted(path.parents[2] for path in base.glob(f"*/{_DEPTH.as_posix()}"))
        if drives:
            return [_open(drive) for drive in drives]
    raise GroundTruthError(
        f"{root} has no val/<drive>/{_DEPTH.as_posix()}; extract KITTI's annotated depth maps, and the raw recordings "
        "of its drives beside them."
    )


def _open(drive: Path) -> GroundTruth:
    depth = numbered((drive / _DEPTH).glob("*.png"))
    if not depth:
        raise GroundTruthError(f"{drive / _DEPTH} has no *.png in it; extract KITTI's annotated depth maps again.")
    name = drive.resolve().name
    raw = _recording(drive, name)
    rgb = by_stem(images(raw / _PICTURES)) if raw else {}
    missing = [path.stem for path in depth if path.stem not in rgb]
    if raw and missing:
        raise GroundTruthError(f"{raw / _PICTURES} has no image {missing[0]}; extract the drive's recording again.")
    numbers = tuple(map(number_of, depth))
    matrix, poses = camera_of(raw, numbers) if raw else (None, ())
    return GroundTruth(
        name=name,
        frame_numbers=numbers,
        read_depth=lambda index: depth_png(depth[index], 256),
        matrix=matrix,
        poses=poses,
        rgb_files=tuple(rgb[path.stem] for path in depth) if raw else (),
    )


def _recording(drive: Path, name: str) -> Path | None:
    """The drive's raw recording."""
    around = drive.resolve()
    places = [around, *(base / name[:_DATE] / name for top in around.parents[:3] for base in (top, top / "raw"))]
    return next((place for place in places if (place / _PICTURES).is_dir()), None)


def camera_of(drive: Path, numbers: tuple[int, ...]) -> tuple[Matrix | None, tuple[Matrix | None, ...]]:
    """Calibration [3, 3] of camera 2, and camera-to-world of some frames; None where the files are missing."""
    date = drive.parent
    own = date / "calib_cam_to_cam.txt"
    if not own.is_file():
        return None, ()
    facts = _facts(own)
    projection = _values(facts, "P_rect_02", own, 12).reshape(3, 4)
    if not (projection[0, 0] and projection[1, 1]):
        raise GroundTruthError(f"{own} has a focal length of 0; extract the calibration again.")
    matrix = projection[:, :3].copy()
    others = date / "calib_velo_to_cam.txt", date / "calib_imu_to_velo.txt"
    files = [drive / "oxts" / "data" / f"{number:010d}.txt" for number in numbers]
    if not all(path.is_file() for path in (*others, *files)):
        return matrix, ()
    rectified = np.eye(4)
    rectified[:3, :3] = _values(facts, "R_rect_00", own, 9).reshape(3, 3)
    aside = np.eye(4)
    aside[0, 3] = projection[0, 3] / projection[0, 0]
    to_camera = aside @ rectified @ _rigid(others[0]) @ _rigid(others[1])
    carried = [_inertial(path) for path in files]
    scale = np.cos(np.radians(carried[0][0]))
    if not abs(np.linalg.det(to_camera)) > _SINGULAR:
        raise GroundTruthError(f"The calibration beside {own} is singular; extract the calibration again.")
    from_camera = np.linalg.inv(to_camera)
    poses = [_pose(each, scale) @ from_camera for each in carried]
    start = np.linalg.inv(poses[0])  # relative to the first camera: positions on the globe would cost precision
    return matrix, tuple(start @ pose for pose in poses)


def _inertial(path: Path) -> NDArray[np.float64]:
    """Latitude, longitude, altitude, roll, pitch, yaw, in degrees, meters and radians."""
    words = " ".join(lines_of(path, again="extract the drive again")).split()
    try:
        found = np.array(words[:6], np.float64).reshape(6)
        if not (np.isfinite(found).all() and abs(found[0]) < _POLE):
            raise ValueError("it lies nowhere on the globe")
        return found
    except ValueError as error:
        raise GroundTruthError(f"{path} cannot be read as a position ({error}); extract the drive again.") from error


def _pose(each: NDArray[np.float64], scale: float) -> Matrix:
    latitude, longitude, altitude, roll, pitch, yaw = each
    pose = np.eye(4)
    pose[:3, :3] = _turn(2, yaw) @ _turn(1, pitch) @ _turn(0, roll)
    north = np.log(np.tan(np.pi * (90 + latitude) / 360))
    pose[:3, 3] = scale * _EARTH * np.radians(longitude), scale * _EARTH * north, altitude
    return pose


def _turn(axis: int, angle: float) -> Matrix:
    """Rotation about a coordinate axis."""
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3)
    turn[[first, second], [first, second]] = np.cos(angle)
    turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
    return turn


def _rigid(path: Path) -> Matrix:
    facts = _facts(path)
    matrix = np.eye(4)
    matrix[:3, :3] = _values(facts, "R", path, 9).reshape(3, 3)
    matrix[:3, 3] = _values(facts, "T", path, 3)
    return matrix


def _facts(path: Path) -> dict[str, str]:
    lines = lines_of(path, again="extract the calibration again")
    return {name.strip(): rest for name, colon, rest in (line.partition(":") for line in lines) if colon}


def _values(facts: dict[str, str], name: str, path: Path, count: int) -> NDArray[np.float64]:
    try:
        found = np.array(facts[name].split(), np.float64).reshape(count)
        if not np.isfinite(found).all():
            raise ValueError("no number")
        return found
    except (KeyError, ValueError) as error:
        raise GroundTruthError(
            f"{path} has no line {name} of {count} numbers; extract the calibration again."
        ) from error
