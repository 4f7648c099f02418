"""Calibration and path of KITTI's left colour camera, from a drive's raw recording.

The formulas are those of Geiger et al., "Vision meets robotics: the KITTI dataset" (IJRR 2013): section IV-B for the
chain of calibrations, and for the path the Mercator projection of GPS positions, scaled for the first latitude, with
roll, pitch and yaw of the inertial unit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..truth import TruthError
from .files import lines_of

_EARTH = 6378137.0  # metres
_POLE = 89.9  # degrees from which on the projection has no place
_SINGULAR = 1e-9  # determinant of what brings no point to a camera
Matrix = NDArray[np.float64]


def camera(drive: Path, numbers: tuple[int, ...]) -> tuple[Matrix | None, tuple[Matrix | None, ...]]:
    """Calibration [3, 3] of camera 2 and its camera-to-world matrices of some frames; None for what is not there.

    Raises
    ------
    TruthError
        A file is broken.
    """
    date = drive.parent
    own = date / "calib_cam_to_cam.txt"
    if not own.is_file():
        return None, ()
    facts = _facts(own)
    projection = _values(facts, "P_rect_02", own, 12).reshape(3, 4)
    if not (projection[0, 0] and projection[1, 1]):
        raise TruthError(f"{own} has a focal length of 0; extract the calibration again.")
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
        raise TruthError(f"The calibration beside {own} is none; extract the calibration again.")
    from_camera = np.linalg.inv(to_camera)
    poses = [_pose(each, scale) @ from_camera for each in carried]
    start = np.linalg.inv(poses[0])  # the world is the first camera, so that no digits go into places on the globe
    return matrix, tuple(start @ pose for pose in poses)


def _inertial(path: Path) -> NDArray[np.float64]:
    """Latitude, longitude, altitude, roll, pitch, yaw: degrees, metres and radians."""
    words = " ".join(lines_of(path, again="extract the drive again")).split()
    try:
        found = np.array(words[:6], np.float64).reshape(6)
        if not (np.isfinite(found).all() and abs(found[0]) < _POLE):
            raise ValueError("it lies nowhere on the globe")
        return found
    except ValueError as error:
        raise TruthError(f"{path} cannot be read as a position ({error}); extract the drive again.") from error


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
        raise TruthError(f"{path} has no line {name} of {count} numbers; extract the calibration again.") from error
