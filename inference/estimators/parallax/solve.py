"""The camera solve: focal length, poses and static points from tracks.

Structure from motion by COLMAP's global mapper (Pan et al., "Global Structure-from-Motion Revisited", ECCV 2024) on
key frames; the frames between them are then resectioned from its points. Where its path explains the tracks badly, the
incremental mapper (Schoenberger and Frahm, "Structure-from-Motion Revisited", CVPR 2016) has a try. Each calculation
runs on one thread with a fixed seed, so the same tracks give the same bits; only those that do not depend on each other
run side by side.

Where a shot has little perspective, a scene that rotates one way looks almost like its mirror image in depth rotating
the other way (the Necker reversal; Hartley and Zisserman, "Multiple View Geometry", 2004, section 14.6). Bundle
adjustment cannot get from one to the other, so a mapper may end with near and far exchanged. Perspective decides:
refined from the mirrored start, a right solution returns to itself or fits worse, a wrong one fits better.

This module runs in a child process (`solve_process`), because COLMAP cannot be interrupted.
"""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from . import triangulate
from .focal_length import (
    SPREAD,
    around,
    focal_of,
    is_determined,
    likeliest,
    likely,
    misfit,
    misfit_of,
    observations,
    refine,
    with_focal_length,
)
from .lens import Lens, SolveError
from .tracks import Tracks, key_frames
from .unsupported import plausible_focals
from .view import Views, undistort
from .zooming import require_constant_zoom

START_FOCAL = 0.9
"""First guess of an unknown focal length, as a share of the longer side."""
_GAPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)  # distances of matched key frames, in key frames
_CELLS = 8  # cells across the image, over which matches are balanced
_CELL = 8  # most tracks of a match per cell,
_ABOVE_MEAN = 1.5  # or so many times the mean, so that a textured object does not outweigh the scene
_SHARED = 30  # fewest tracks that two matched key frames share
_INLIER = 4.0  # pixels at 640, for the frames between key frames
_LEAST_ANGLE_OF_START, _LEAST_ANGLE = 1.5, 0.5  # degrees between the rays of a point, of the incremental mapper
_DOUBTFUL = 1.6  # squared pixels at 640, of a model: right paths have 1.0 to 1.3, wrong ones from 1.9 on
_BETTER = 0.95  # times the misfit of the one that is there
_FLIP = np.diag([1.0, 1.0, -1.0])


def solve(tracks: Tracks, lens: Lens, *, seed: int, folder: Path) -> Views:
    """Solve the camera of every frame.

    Parameters
    ----------
    tracks : Tracks
    lens : Lens
        A known focal length is fixed; an unknown one is solved.
    seed : int
    folder : Path
        For the mapper's database; emptied by the caller.

    Returns
    -------
    Views
        In an arbitrary unit of length.

    Raises
    ------
    SolveError
    """
    focal = lens.focal or lens.tagged or START_FOCAL * max(lens.width, lens.height)
    undistorted = Tracks(
        tracks.starts,
        tracks.ids,
        undistort(tracks.xy, focal=focal, center=np.array(lens.center), distortion=np.array(lens.distortion)),
    )
    keys = key_frames(undistorted, long_side=max(lens.width, lens.height))
    database = folder / "tracks.db"
    database.unlink(missing_ok=True)
    _fill(database, undistorted, keys, lens, focal)
    _verify(database, seed)
    guessed = False
    if lens.focal is None:
        model, guessed = _with_unknown_lens(database, folder, seed, lens, tracks=undistorted, keys=keys)
    else:
        model = _with_known_lens(database, folder, seed, lens, focal=focal, tracks=undistorted, keys=keys)
    if model is None:
        whose = "with a constant focal length" if lens.focal is None else "with the known focal length"
        raise SolveError(f"No camera path {whose} explains the motion of the tracked points.")
    require_constant_zoom(model)
    return replace(_views(model, undistorted, keys, lens, seed), lens_guessed=guessed)


def _with_known_lens(
    database: Path, folder: Path, seed: int, lens: Lens, *, focal: float, tracks: Tracks, keys: list[int]
) -> pycolmap.Reconstruction | None:
    """The model; where it explains the tracks badly, the one of several that does so best."""
    model = _map(database, folder, seed, refine_focal=False)
    least = np.inf if model is None else _misfit_of_tracks(model, tracks, keys, lens)
    if not _is_doubtful(least, lens):
        return model
    free = _map(database, folder, seed, refine_focal=True)
    if free is not None:
        free = with_focal_length(free, focal)
        refine(free, refine_focal=False)
    for other in (_grow(database, folder, seed), free):
        if other is not None and (its := _misfit_of_tracks(other, tracks, keys, lens)) < _BETTER * least:
            model, least = other, its
    return model


def _with_unknown_lens(
    database: Path, folder: Path, seed: int, lens: Lens, *, tracks: Tracks, keys: list[int]
) -> tuple[pycolmap.Reconstruction | None, bool]:
    """The likeliest model, None where there is none, and whether its focal length is guessed from the prior.

    Where the tracks do not determine the focal length, the mapper ends at an arbitrary one or fails. So where its focal
    length is impossible, or it explains the tracks badly, models with the usual focal length held compete with it.
    """
    longer = max(lens.width, lens.height)
    usual, spread = lens.tagged or START_FOCAL * longer, lens.deviation or SPREAD
    least, most = (longer * each for each in plausible_focals(None if lens.tagged is None else lens.tagged / longer))
    model, guessed = _map(database, folder, seed, refine_focal=True), True
    if model is not None:
        is_plausible = least < focal_of(model) < most
        model = likely(model, usual=usual, spread=spread)
        if is_plausible:
            guessed = not is_determined(model)
            if not _is_doubtful(_misfit_of_tracks(model, tracks, keys, lens), lens):
                return model, guessed
    with pycolmap.Database.open(database) as db:  # or the mapper calibrates the lens before it maps
        camera = db.read_all_cameras()[0]
        camera.has_prior_focal_length = True
        db.update_camera(camera)
    held = [_map(database, folder, seed, refine_focal=False), _grow(database, folder, seed)]
    there = [each for each in (model, *held) if each is not None]
    there += [around(each, usual=usual, spread=spread) for each in held if each is not None]
    if len(there) < 2:
        return (there[0] if there else None), guessed
    misfits = [_misfit_of_tracks(each, tracks, keys, lens) for each in there]
    best = likeliest(there, misfits, usual=usual, spread=spread, plausible=(least, most))
    return best, guessed or best is not model


def _is_doubtful(misfit_of_tracks: float, lens: Lens) -> bool:
    """Whether a model explains the tracks so badly that there may be a better one."""
    return misfit_of_tracks > _DOUBTFUL * (max(lens.width, lens.height) / 640) ** 2


def _misfit_of_tracks(model: pycolmap.Reconstruction, tracks: Tracks, keys: list[int], lens: Lens) -> float:
    """As `misfit`, of all tracks in the key frames, whose points may be as far away as they like.

    The mapper leaves out points of little parallax. That are the fewer the shorter its focal length, since that makes
    a path longer, so what it keeps favors short ones. Frames without a pose count as errors.
    """
    poses = {int(image.name): image.cam_from_world().matrix() for image in model.images.values() if image.has_pose}
    posed = [key for key in keys if key in poses]
    seen = [tracks.at(key) for key in posed]
    longer = max(lens.width, lens.height)
    views = Views(
        width=lens.width,
        height=lens.height,
        focal=focal_of(model),
        center=np.array(lens.center, np.float64),
        distortion=np.zeros(2),
        world_to_camera=np.stack([poses[key] for key in posed]),
        points=np.empty((0, 3)),
        seen=np.empty((0, 2), np.int32),
    )
    frames = np.repeat(np.arange(len(posed)), [len(ids) for ids, _ in seen])
    ids, xy = (np.concatenate(each) for each in zip(*seen, strict=True))
    missed = triangulate.static_errors(ids, frames, xy, views)
    lost = sum(len(tracks.at(key)[0]) for key in keys) - len(ids)
    return misfit_of(np.append(missed, np.full(lost, np.inf)), longer)


def _fill(database: Path, tracks: Tracks, keys: list[int], lens: Lens, focal: float) -> None:
    """Write camera, frames, points and matches into COLMAP's database (pixel centers at .5)."""
    with pycolmap.Database.open(database) as db:
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE",
            width=lens.width,
            height=lens.height,
            params=[focal, lens.center[0] + 0.5, lens.center[1] + 0.5],
        )
        camera.has_prior_focal_length = lens.focal is not None
        camera_id = db.write_camera(camera)
        rig = pycolmap.Rig()
        rig.add_ref_sensor(pycolmap.sensor_t(type=pycolmap.SensorType.CAMERA, id=camera_id))
        rig_id = db.write_rig(rig)
        images = []
        for key in keys:
            image = pycolmap.Image(name=f"{key:06d}", camera_id=camera_id)
            image.image_id = db.write_image(image)
            frame = pycolmap.Frame()
            frame.rig_id = rig_id
            frame.add_data_id(image.data_id)
            db.write_frame(frame)
            db.write_keypoints(image.image_id, tracks.at(key)[1] + np.float32(0.5))
            images.append(image.image_id)
        for first in range(len(keys)):
            for second in (first + gap for gap in _GAPS if first + gap < len(keys)):
                a, b = tracks.shared(keys[first], keys[second])
                if len(a) >= _SHARED:
                    kept = _balanced(tracks.at(keys[first])[1][a], lens) & _balanced(
                        tracks.at(keys[second])[1][b], lens
                    )
                    a, b = a[kept], b[kept]
                    db.write_matches(images[first], images[second], np.stack([a, b], axis=1).astype(np.uint32))


def _balanced(xy: NDArray[np.float32], lens: Lens) -> NDArray[np.bool_]:
    """Which points [K] to keep so that no part of the image has more than its share; older tracks are preferred."""
    cell = (xy // (max(lens.width, lens.height) / _CELLS)).astype(np.int64) @ [1, 2 * _CELLS]
    order = np.argsort(cell, kind="stable")
    firsts = np.searchsorted(cell[order], cell[order])
    kept = np.zeros(len(xy), bool)
    allowed = max(_CELL, _ABOVE_MEAN * len(xy) / len(np.unique(cell)))
    kept[order] = np.arange(len(xy)) - firsts < allowed
    return kept


def _verify(database: Path, seed: int) -> None:
    verifier = pycolmap.GeometricVerifierOptions()
    verifier.num_threads = os.cpu_count() or 1  # of pairs that know nothing of each other: the result is the same
    geometry = pycolmap.TwoViewGeometryOptions()
    geometry.ransac.random_seed = seed
    geometry.detect_watermark = False  # a locked-off background is no watermark
    pycolmap.geometric_verification(database, verifier, two_view_geometry_options=geometry)


def _map(database: Path, folder: Path, seed: int, *, refine_focal: bool) -> pycolmap.Reconstruction | None:
    """The mapper's model, with the depth reversal resolved."""
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = 1
    options.random_seed = seed
    options.multiple_models = False
    mapper = options.mapper
    mapper.num_threads = 1
    mapper.random_seed = seed
    mapper.global_positioning.use_gpu = False
    mapper.bundle_adjustment.refine_focal_length = refine_focal
    mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    mapper.bundle_adjustment.ceres.auto_select_solver_type = True  # dense for a few images
    models = pycolmap.global_mapping(database, folder, folder, options)
    model = max(models.values(), key=lambda m: m.num_points3D(), default=None)
    return None if model is None else right_way_round(model, refine_focal=refine_focal)


def _grow(database: Path, folder: Path, seed: int) -> pycolmap.Reconstruction | None:
    """The incremental mapper's model of the most frames, with the focal length held.

    From two frames it grows to the others, with points at any distance from the first on. The global mapper places all
    cameras and points at once, from directions alone, and where these say little, as of a camera that hardly moves and
    moves forwards, it ends with a scene that is nearly flat.
    """
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.random_seed = seed
    options.multiple_models = True
    options.max_num_models = 3
    options.extract_colors = False
    options.ba_refine_focal_length = False
    options.ba_refine_extra_params = False
    mapper = options.mapper
    mapper.num_threads = 1
    mapper.random_seed = seed
    mapper.init_max_forward_motion = 1.0  # any: cameras often go forwards
    mapper.init_min_tri_angle = _LEAST_ANGLE_OF_START
    mapper.filter_min_tri_angle = _LEAST_ANGLE
    options.triangulation.min_angle = _LEAST_ANGLE
    models = pycolmap.incremental_mapping(database, folder, folder, options)
    model = max(models.values(), key=lambda m: m.num_reg_images(), default=None)
    return None if model is None else right_way_round(model, refine_focal=False)


def _views(model: pycolmap.Reconstruction, tracks: Tracks, keys: list[int], lens: Lens, seed: int) -> Views:
    """The model's cameras, with all other frames resectioned."""
    camera = next(iter(model.cameras.values()))
    count = len(tracks)
    poses = np.full((count, 3, 4), np.nan)
    point_of = np.full(int(tracks.ids.max(initial=-1)) + 1, -1, np.int32)
    points: list[NDArray[np.float64]] = []
    for image in sorted(model.images.values(), key=lambda i: i.name):
        if not image.has_pose:
            continue
        key = int(image.name)
        poses[key] = image.cam_from_world().matrix()
        ids = tracks.at(key)[0]
        for index, observation in enumerate(image.points2D):
            if observation.has_point3D() and point_of[ids[index]] < 0:
                point_of[ids[index]] = len(points)
                points.append(model.points3D[observation.point3D_id].xyz)
    if not points:
        raise SolveError("No static point could be triangulated.")
    xyz = np.array(points)
    limit = _INLIER * max(lens.width, lens.height) / 640
    seen, lost = [], []
    for frame in range(count):
        ids, xy = tracks.at(frame)
        known = np.flatnonzero(point_of[ids] >= 0)
        chosen = point_of[ids[known]]
        if np.isnan(poses[frame, 0, 0]):
            pose = _place(xy[known], xyz[chosen], camera, limit=limit, seed=seed)
            if pose is None:
                lost.append(frame)
                continue
            poses[frame] = pose
        at = xyz[chosen] @ poses[frame, :, :3].T + poses[frame, :, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            missed = np.linalg.norm(camera.focal_length * at[:, :2] / at[:, 2:] + lens.center - xy[known], axis=1)
        good = (at[:, 2] > 0) & (missed < limit)
        seen.append(np.stack([np.full(int(good.sum()), frame, np.int32), chosen[good]], axis=1))
    if lost:
        edges = [-1, *lost, count]
        first, end = max(pairwise(edges), key=lambda part: part[1] - part[0])
        raise SolveError(
            f"The camera solve fails at frame {lost[0] + 1} of the shot: too few points are visible there.",
            solved=(first + 1, end - 1) if end - first > 1 else None,
        )
    return Views(
        width=lens.width,
        height=lens.height,
        focal=float(camera.focal_length),
        center=np.array(lens.center, np.float64),
        distortion=np.array(lens.distortion, np.float64),
        world_to_camera=poses,
        points=xyz,
        seen=np.concatenate(seen).astype(np.int32),
    )


def _place(
    xy: NDArray[np.float32],
    points: NDArray[np.float64],
    camera: pycolmap.Camera,
    *,
    limit: float,
    seed: int,
) -> NDArray[np.float64] | None:
    """Pose [3, 4] of a frame from points that it sees (perspective-n-point with RANSAC, refined); None: too few."""
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.max_error = limit
    options.ransac.random_seed = seed
    answer = None
    if len(points) >= 12:
        answer = pycolmap.estimate_and_refine_absolute_pose(xy.astype(np.float64) + 0.5, points, camera, options)
    return None if answer is None else answer["cam_from_world"].matrix()


def right_way_round(model: pycolmap.Reconstruction, *, refine_focal: bool) -> pycolmap.Reconstruction:
    """The model, or its refined mirror image where that explains the tracked points better.

    Parameters
    ----------
    model : Reconstruction
        The mapper's result; not modified.
    refine_focal : bool
        Whether the mapper solved the focal length.

    Returns
    -------
    Reconstruction
    """
    # both are refined, or the refined one would have an advantage
    straight, turned = copy.deepcopy(model), _mirrored(model)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda candidate: refine(candidate, refine_focal=refine_focal), (straight, turned)))
    # refining drops points behind a camera, so dropped observations count as errors
    count = observations(model)
    return turned if misfit(turned, count) < misfit(straight, count) else model


def _mirrored(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model mirrored in depth about its center, in the coordinates of the middle image's camera.

    With S the mirror and the center of the points as origin, a parallel projection of ``S X`` under the rotation
    ``S R S`` equals that of X under R, since S leaves x and y unchanged; the translations stay.
    """
    mirror = copy.deepcopy(model)
    seeing = sorted((image for image in mirror.images.values() if image.has_pose), key=lambda image: image.name)
    reference = seeing[len(seeing) // 2].cam_from_world().matrix()
    turn, shift = reference[:, :3], reference[:, 3]
    points = list(mirror.points3D.values())
    places = np.array([point.xyz for point in points]) @ turn.T + shift
    middle = np.median(places, axis=0)
    for point, place in zip(points, places):
        point.xyz = _FLIP @ (place - middle)
    for frame in mirror.frames.values():
        if frame.has_pose:
            pose = frame.rig_from_world.matrix()
            rotation = pose[:, :3] @ turn.T
            position = pose[:, 3] - rotation @ shift + rotation @ middle
            frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(_FLIP @ rotation @ _FLIP), position)
    return mirror
