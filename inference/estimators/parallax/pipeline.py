"""The estimator from beginning to end; each step saves its results, so that a later run resumes from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common import frame_threads
from ...common.failures import UnsupportedShot
from ...common.files import load_array, load_arrays, save_array, save_arrays
from ...contract import own_files
from ...depth_maps import temporal
from ...depth_maps.joint_upsampling import upsample
from ...mattes.network import mattes_of
from ..base import Phase, Shot, ShotResult
from . import (
    black_bars,
    blank_frames,
    calibration,
    completion,
    dense_motion,
    fill,
    frame_selection,
    fusion,
    ground,
    keeping_pace,
    makes_mattes,
    moving,
    object_depth,
    object_parts,
    pixel_paths,
    sgm,
    shadows,
    shot_data,
    sky,
    stabilizing,
    sweep,
)
from .camera_path import camera_path, static_tracks, tracks_of, undistorted_tracks
from .frames import resized
from .given_camera import fits_badly
from .shot_data import FIT, GROUND, ShotData
from .tracks import Tracks
from .unsupported import doubts, explained, guessed_lens, inconsistent, require_measured, unsure
from .view import Views, distorted

_WEIGHTS = {
    "match": 0.55,
    "flow": 0.08,
    "complete": 0.1,
    "outlines": 0.02,
    "learned": 0.04,
    "blend": 0.04,
    "steady": 0.15,
    "settle": 0.1,
}
"""Shares of the time after the camera is known."""
_CAMERA_SHARE = 0.3  # share of the whole time for tracking and solving
_MATTE_SHARE = 0.2  # of the whole time for mattes, where the network makes them
_OUTLINE = 2.0  # pixels of stereo by which a subject's edge may be beside its matte's
_SETTLE = "Finishing frames"
_DISAGREES = "The learned depth has hardly anything in common with what parallax measured, so it is not used."
_FOOTINGS = "footings.npz"
_COMPARED = 24  # pairs of neighboring frames whose depth is compared
_CONTRADICTS = 0.12  # relative difference of their depth
_OUTLINED = 12  # frames to either side that share an object's outline
_INFINITE = np.float32(1e-3)  # of the smallest inverse depth: that of sky as other frames see it
_FUSED = (1, 3)  # offsets of the frames that a frame is fused with, besides its neighbors


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot's inverse depth, confidence and camera.

    Raises
    ------
    UnsupportedShot
        The shot has no parallax, or its camera cannot be solved.
    Cancelled
        From `Shot.check`.
    """
    begun = _begin(shot)
    whole, shot, taking, full = begun.whole, begun.shot, begun.taking, begun.full
    with frame_threads.opencv_on_one():
        scene, passed = begun.scene, _CAMERA_SHARE
        for step in (_MATCH, _FLOW, _COMPLETE, _OUTLINES):
            passed = _pass(shot, scene, step, passed)
        scene, passed, disagrees = _learn(shot, scene, passed)
        footings = _footings(shot, scene)
        measured = _require_measured(shot, scene, footings)
        judged = measured if scene.learned is None else _judged(shot, scene, footings)
        passed = _pass(shot, scene, _STEADY, passed)
        _settle_all(shot, scene, range(len(scene.views)), passed)
        everywhere = taking.spread(full, whole)
        _bridge_all(whole, scene, footings, taking, everywhere.resized(scene.views.width, scene.views.height))
    static = undistorted_tracks(static_tracks(shot, begun.found), full)
    if whole.camera is not None and whole.camera.poses:
        camera, warnings = whole.camera, fits_badly(static, full)
    else:
        camera = everywhere.camera(whole.frames.numbers)
        warnings = (
            *guessed_lens(full, tagged=shot.lens_tag is not None),
            *doubts(explained(full, static), shot.frames.numbers),
        )
    return ShotResult(
        camera=camera if begun.bars is None else begun.bars.camera_around(camera),
        warnings=(
            *taking.warnings(whole.frames.numbers),
            *warnings,
            *disagrees,
            *inconsistent(judged.contradicted),
            *unsure(judged.confident),
        ),
        completed=scene.learned is not None,
    )


def phases(shot: Shot) -> tuple[Phase, ...]:
    """The steps of `estimate` as phases: the camera, then what is done frame by frame, with what needs all between."""
    frames = len(shot.frames)

    def camera(units: range) -> list[Path]:
        begun = _begin(shot)
        names = ("light.npz", "tracks.npz", "views.npz", "unrest.npz", shot_data.NEIGHBORS)
        return [path for name in names if (path := begun.scene.folder / name).exists()]

    def passing(*steps: _Step, fitted: bool = False) -> Callable[[range], list[Path]]:
        def run(units: range) -> list[Path]:
            begun = _begin(shot)
            with frame_threads.opencv_on_one():
                scene, chosen = begun.scene, begun.chosen(units)
                if fitted and not (scene.folder / FIT).exists():
                    return []  # learned depth does not fit
                passed = steps[0].begins
                for step in steps:
                    passed = _pass(begun.shot, scene, step, passed, chosen)
                return [shot_data.file(scene, step.name, frame) for step in steps for frame in chosen]

        return run

    def objects(units: range) -> list[Path]:
        begun = _begin(shot)
        with frame_threads.opencv_on_one():
            scene = begun.scene
            _pass(begun.shot, scene, _OUTLINES, _OUTLINES.begins)
            scene, _ = _fitted(begun.shot, scene)
            _require_measured(shot, scene, _footings(shot, scene))
        labels = [
            shot_data.file(scene, name, frame)
            for name in (_OUTLINES.name, shot_data.OBJECTS)
            for frame in range(len(scene.views))
        ]
        names = (shot_data.SURROUNDINGS, GROUND, FIT, _FOOTINGS)
        return labels + [path for name in names if (path := scene.folder / name).exists()]

    def steady(units: range) -> list[Path]:
        begun = _begin(shot)
        with frame_threads.opencv_on_one():
            scene, chosen = _as_fitted(begun.scene), begun.chosen(units)
            _pass(begun.shot, scene, _STEADY, _STEADY.begins, chosen)
        return [shot_data.file(scene, _STEADY.name, frame) for frame in chosen]

    def settle(units: range) -> list[Path]:
        begun = _begin(shot)
        with frame_threads.opencv_on_one():
            _settle_all(begun.shot, _as_fitted(begun.scene), begun.chosen(units), _SETTLE_BEGINS)
        return []

    first = (_MATCH, _FLOW, _LEARNED) if shot.learned is not None else (_MATCH, _FLOW)
    found: list[tuple[str, str, Literal["shot", "frame"], float, Callable[[range], list[Path]]]] = [
        ("camera", "Solving the camera", "shot", _CAMERA_SHARE, camera),
        ("match", _MATCH.label, "frame", sum(step.share for step in first), passing(*first)),
        ("complete", _COMPLETE.label, "frame", _COMPLETE.share, passing(_COMPLETE)),
        ("objects", "Placing dynamic objects", "shot", 0.01, objects),
    ]
    if shot.learned is not None:
        found.append(("blend", _BLEND.label, "frame", _BLEND.share, passing(_BLEND, fitted=True)))
    found.append(("steady", _STEADY.label, "frame", _STEADY.share, steady))
    found.append(("settle", _SETTLE, "frame", 1 - _SETTLE_BEGINS, settle))
    return tuple(
        Phase(name=name, label=label, kind=kind, units=1 if kind == "shot" else frames, work=work, run=run)
        for name, label, kind, work, run in found
    )


@dataclass(frozen=True)
class _Begun:
    """A shot whose camera is known, without its black bars."""

    whole: Shot
    """With mattes."""
    shot: Shot
    """The same with the frames that are solved alone."""
    taking: frame_selection.TakingPart
    full: Views
    found: Tracks
    """With lens distortion."""
    scene: ShotData
    bars: black_bars.Bars | None

    def chosen(self, units: range) -> list[int]:
        """The solved frames among those of the shot."""
        return [index for index, frame in enumerate(self.taking.frames) if frame in units]


def _begin(shot: Shot) -> _Begun:
    """Choose the frames that are solved, solve the camera, and classify tracks; what is saved is loaded."""
    shot, bars = black_bars.without(shot)
    taking = frame_selection.choose(shot)
    taking.require_enough(shot)
    found_mattes = makes_mattes(shot.parameters, has_mattes=shot.mattes is not None)
    if found_mattes:
        shot = _with_mattes(shot)
    whole, shot = shot, taking.narrowed(shot)
    count = len(shot.frames)
    try:
        full = camera_path(
            shot, lambda label, done: shot.progress("camera", label, _CAMERA_SHARE * done * count, float(count))
        )
    except UnsupportedShot:
        frame_selection.require_unbroken(tracks_of(shot), shot.frames)
        raise
    found = tracks_of(shot)
    with frame_threads.opencv_on_one():
        scene = shot_data.collected(shot, full, undistorted_tracks(found, full), found_mattes=found_mattes)
    return _Begun(whole, shot, taking, full, found, scene, bars)


def _with_mattes(shot: Shot) -> Shot:
    """The shot with mattes of its people by the network."""
    count = float(len(shot.frames))

    def later(stage: str, label: str, done: float, total: float) -> None:
        shot.progress(stage, label, _MATTE_SHARE * total + (1 - _MATTE_SHARE) * done, total)

    found = mattes_of(
        shot.frames,
        shot.scratch,
        check=shot.check,
        progress=lambda done: shot.progress("mattes", "Finding people", _MATTE_SHARE * done * count, count),
    )
    return replace(shot, mattes=found, progress=later)


def _pass(shot: Shot, scene: ShotData, step: _Step, passed: float, frames: Sequence[int] | None = None) -> float:
    """Run one step for frames, or all, that have no saved result; returns the share of all work that is then done."""
    name = step.name
    own_files.make_folder(scene.folder / name)
    frames = range(len(scene.views)) if frames is None else frames
    count = len(frames)
    left = [frame for frame in frames if not shot_data.file(scene, name, frame).exists()]
    finished = count - len(left)
    if left and step is _COMPLETE:
        shot_data.surroundings(scene, shot.check)

    def keep(frame: int, pause: Callable[[], None]) -> None:
        save_array(shot_data.file(scene, name, frame), step.work(scene, frame, pause))

    def done(_: int) -> None:
        nonlocal finished
        finished += 1
        shot.progress(name, step.label, passed * count + step.share * finished, float(count))

    frame_threads.each(keep, left, check=shot.check, done=done)
    return passed + step.share


def _match(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float32]:
    """Inverse depth, margin and matching cost [3, H, W] of a frame by plane sweep and semi-global matching."""
    views, images = scene.views, scene.images
    planes = sweep.planes(scene.nearest, scene.farthest)
    gray = images.gray(frame)
    around = [sweep.Neighbor(images.gray(other), *views.relative(frame, other)) for other in scene.neighbors[frame]]
    if not around:
        empty = np.full(gray.shape, 0.5 * (scene.nearest + scene.farthest), np.float32)
        return np.stack([empty, np.zeros_like(empty), np.ones_like(empty)])
    cost = sweep.matching_cost(gray, around, views.matrix, planes, check=pause)
    total = sgm.aggregate(cost, gray)
    pause()
    inverse_depth, margin, match = sgm.winners(total, cost, planes, outside=sweep.OUTSIDE)
    return np.stack([np.clip(inverse_depth, scene.farthest, scene.nearest), margin, match])


def _flow(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float16]:
    """Flow [2, H, W, 2] to the next frame and back; the last frame's is 0."""
    after = min(frame + 1, len(scene.views) - 1)
    return pixel_paths.flow_pair(*(scene.motion_images.gray(each).astype(np.uint8) for each in (frame, after)))


def _complete(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float32]:
    """Inverse depth everywhere, confidence and what moves [3, H, W]: fused with other frames and completed."""
    views = scene.views
    count = len(views)
    mine, margin, match = shot_data.load(scene, "match", frame)
    sure = sgm.sure(margin)
    others = {frame + offset * side for offset in _FUSED for side in (-1, 1)} | set(scene.neighbors[frame])
    sources = []
    for other in sorted(o for o in others if 0 <= o < count):
        theirs, their_margin, _ = shot_data.load(scene, "match", other)
        sources.append(
            fusion.SourceDepth(theirs, sgm.sure(their_margin) + np.float32(1e-3), *views.relative(frame, other))
        )
    pause()
    own, spacing = sure + np.float32(1e-3), (scene.nearest - scene.farthest) / (sweep.PLANES - 1)
    fused, support, about = fusion.fuse(mine, own, sources, focal=views.focal, center=views.center, spacing=spacing)
    sure *= np.clip(1 - 2 * match, 0, 1)
    pause()
    moves, hides = _moves(scene, frame, pause)
    sure[resized(moves, views)] = 0
    confidence = support**2 * sure
    whole, _ = fill.fill(fused, about**2.5 * sure, scene.images.color(frame), least=scene.farthest, most=scene.nearest)
    plane, _ = shot_data.surroundings(scene)
    whole, sunken = ground.sunken(whole, confidence, plane, views, frame)
    confidence[sunken] = 0
    if moves.any():  # most frames of a static scene need no look at others for shadows
        behind = resized(whole, scene.motion_views)
        lies = ground.inverse_depth(plane, scene.motion_views, frame) > 0
        shadowed = shadows.shadowed(scene.motion_images.color, frame, behind, scene.motion_views, ground=lies)
        moves = moving.standing(moves, shadowed & ~hides)
    return np.stack([whole, confidence, resized(moves, views).astype(np.float32)])


def _outlined(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.int16]:
    """Labels [H, W] of the parts of dynamic objects, of motion's size; the frames around share their outlines.

    Without learned depth, the ground below its feet tells where an object stands, and feet that swing are lost
    in a shared outline.
    """
    count = len(scene.views)
    around = range(max(frame - _OUTLINED, 0), min(frame + _OUTLINED + 1, count))
    masks = {other: resized(shot_data.load(scene, "complete", other)[2] > 0, scene.motion_views) for other in around}
    moves = masks[frame]
    pause()
    if scene.learned is not None and any(mask.any() for mask in masks.values()):
        paths = pixel_paths.pixel_paths(
            lambda first: shot_data.load(scene, "flow", first), frame, count, reach=_OUTLINED
        )
        shared = moving.lasting(moves, ((masks[path.frame], path) for path in paths))
        matte = shot_data.matte(scene, frame)
        moves = shared if matte is None else np.where(moving.around(matte), moves, shared)
    return moving.separate(moves, shot_data.load(scene, "flow", frame).astype(np.float32)).astype(np.int16)


def _join(shot: Shot, scene: ShotData) -> None:
    """Join the parts that are one object, without what lies on the ground; saved, at the size of stereo."""
    count = len(scene.views)
    files = [shot_data.file(scene, shot_data.OBJECTS, frame) for frame in range(count)]
    if all(file.exists() for file in files):
        return
    own_files.make_folder(scene.folder / shot_data.OBJECTS)

    def parts(frame: int) -> NDArray[np.int32]:
        return shot_data.load(scene, _OUTLINES.name, frame).astype(np.int32)

    numbers: list[NDArray[np.int32]] = []
    if scene.learned is not None:
        numbers = object_parts.joined(
            lambda frame: (resized(shot_data.load(scene, "complete", frame)[0], scene.motion_views), parts(frame)),
            lambda frame: shot_data.load(scene, "flow", frame),
            count,
            check=shot.check,
            rises=shot_data.rises(scene) if (scene.folder / FIT).exists() else None,
        )
    for frame, file in enumerate(files):
        own = parts(frame)
        save_array(file, resized(numbers[frame][own] if numbers else own, scene.views).astype(np.int16))


def _moves(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.bool_]:
    """A frame's dynamic objects, and where these may be what keeps pace with the camera [2, H, W], of motion's size."""
    images, views = scene.motion_images, scene.motion_views
    votes, matte = shot_data.votes(scene, frame), shot_data.matte(scene, frame)
    paths, gray = shot_data.paths(scene, frame), images.gray(frame)
    dense = dense_motion.dense_motion(paths, frame, views, gray, most=shot_data.NEARER * scene.nearest)
    pause()

    def matched(other: int) -> NDArray[np.float32]:
        return np.stack([resized(each, views) for each in shot_data.load(scene, "match", other)])

    pace = keeping_pace.keeping_pace(matched, images.color, frame, views, resolved=shot_data.half_pixel(scene, frame))
    votes, dense, hides = keeping_pace.counted(votes, dense, pace, matched(frame)[0])
    return np.stack([moving.mask(*votes, images.color(frame), dense, matte=matte), hides])


def _learn(shot: Shot, scene: ShotData, passed: float) -> tuple[ShotData, float, tuple[str, ...]]:
    """Fit the learned depth and blend it in; without it, and with a warning, where it does not fit."""
    if scene.learned is not None:
        passed = _pass(shot, scene, _LEARNED, passed)
    scene, disagrees = _fitted(shot, scene)
    if scene.learned is None:
        return scene, passed, disagrees
    _footings(shot, scene)
    return scene, _pass(shot, scene, _BLEND, passed), ()


def _fitted(shot: Shot, scene: ShotData) -> tuple[ShotData, tuple[str, ...]]:
    """Fit the learned depth, and find the dynamic objects; without it, and with a warning, where it does not fit."""
    disagrees: tuple[str, ...] = ()
    if scene.learned is not None:
        try:
            _fit(shot, scene)
        except completion.Disagreement:
            disagrees = (_DISAGREES,)
    _join(shot, scene)
    return replace(scene, learned=None) if disagrees else scene, disagrees


def _fit(shot: Shot, scene: ShotData) -> None:
    """Fit the learned depth to the measured one; saved in the scratch folder.

    Raises
    ------
    completion.Disagreement
    """
    kept = scene.folder / FIT
    if kept.exists():
        return
    plane = ground.find(scene.views, lambda frame: shot_data.measured(scene, frame)[:2], check=shot.check)
    save_array(scene.folder / GROUND, plane)
    found = completion.fit(
        lambda frame: shot_data.measured(scene, frame),
        len(scene.views),
        sinks=scene.sinks,
        ground=lambda frame: ground.inverse_depth(plane, scene.views, frame),
        real=lambda frame, measured, weight: ground.mirrors_nothing(measured, weight, plane, scene.views, frame),
        check=shot.check,
    )
    found.save(kept)


def _blended(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float32]:
    """Inverse depth of a frame, completed by learned depth, and the confidence in what was measured [2, H, W]."""
    inverse_depth, confidence, _ = shot_data.load(scene, "complete", frame)
    image, objects = scene.images.color(frame), shot_data.labels(scene, frame)
    pause()
    confidence[shot_data.outlined(scene, frame) & (objects == 0)] = 0  # what moves on the ground hides or mirrors it
    fitted, level = shot_data.fitted(scene)(frame)
    real = ground.mirrors_nothing(inverse_depth, confidence, load_array(scene.folder / GROUND), scene.views, frame)
    inverse_depth, mirrored = ground.without_mirrored(inverse_depth, level, fitted[0], real)
    depths = _saved_footings(scene)[frame] * np.float32(scene.sinks)
    found = completion.blended(
        inverse_depth,
        confidence,
        objects,
        fitted,
        image,
        depths=depths,
        focal=scene.views.focal,
        ground=ground.lies(inverse_depth, level, fitted[0], objects > 0),
    )
    found, _ = ground.without_mirrored(found, level, fitted[0], real)  # what moves in a mirror image
    return np.stack([np.clip(found, *scene.limits), np.where(mirrored, np.float32(0), confidence)])


def _footings(shot: Shot, scene: ShotData) -> list[NDArray[np.float32]]:
    """The depth of each frame's dynamic objects, by label; saved in the scratch folder."""
    kept = scene.folder / _FOOTINGS
    if not kept.exists():
        fitted = shot_data.fitted(scene) if scene.learned is not None else None
        small = partial(resized, views=scene.motion_views)

        def seen(frame: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
            inverse_depth, subjects = shot_data.subjects(scene, frame)
            return small(inverse_depth), small(subjects)

        found = object_depth.depths(
            seen,
            lambda frame: shot_data.load(scene, "flow", frame),
            len(scene.views),
            most=shot_data.NEARER * scene.nearest,
            check=shot.check,
            learned=None if fitted is None else lambda frame: small(fitted(frame)[0][0]),
        )
        save_arrays(kept, depths=np.concatenate(found), counts=np.array([len(each) for each in found]))
    return _saved_footings(scene)


def _saved_footings(scene: ShotData) -> list[NDArray[np.float32]]:
    data = load_arrays(scene.folder / _FOOTINGS)
    return np.split(data["depths"], np.cumsum(data["counts"])[:-1])


def _learned(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float32]:
    """Learned disparity of a frame, at the size of stereo, undistorted."""
    if scene.learned is None:
        raise ValueError("there is no learned depth")
    return scene.images.reduced(scene.learned[frame], frame)


def _as_fitted(scene: ShotData) -> ShotData:
    """The scene without learned depth that did not fit."""
    return scene if (scene.folder / FIT).exists() else replace(scene, learned=None)


def _settle_all(shot: Shot, scene: ShotData, frames: Sequence[int], passed: float) -> None:
    """Stabilize frames once more, upsample them to the working size and write them."""
    count = len(frames)
    left = [frame for frame in frames if frame not in shot.finished]
    finished = count - len(left)
    ready: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def settle(frame: int, pause: Callable[[], None]) -> None:
        ready[frame] = _settled(shot, scene, frame, pause)

    def done(frame: int) -> None:
        nonlocal finished
        finished += 1
        shot.write(frame, *ready.pop(frame))
        shot.progress("settle", _SETTLE, passed * count + (1 - passed) * finished, float(count))

    frame_threads.each(settle, left, check=shot.check, done=done)


def _bridge_all(
    shot: Shot,
    scene: ShotData,
    footings: list[NDArray[np.float32]],
    taking: frame_selection.TakingPart,
    views: Views,
) -> None:
    """Write the frames with too little detail, from two frames on each side of them; `views` are of all frames."""
    for frame in sorted(taking.lost):
        shot.check()
        group = [index for index in taking.repeating[frame] if index not in shot.finished]
        for index in group:
            before, after = taking.around(index)
            sources = []
            for other in range(max(0, before - 1), min(len(scene.views), after + 2)):
                pair = np.stack([scene.views.world_to_camera[other], views.world_to_camera[index]])
                theirs, support = shot_data.placed(scene, footings, other), shot_data.support(scene, other)
                sure = calibration.confidence(support * shot_data.resolved(scene, other, theirs), np.ones_like(support))
                move = replace(scene.views, world_to_camera=pair).relative(0, 1)
                theirs = np.where(_sky(scene, other), _INFINITE * scene.limits[0], theirs)  # which has to be a number
                sources.append(fusion.SourceDepth(theirs, sure, *move))
            inverse_depth, confidence = blank_frames.bridge(sources, scene.views.matrix)
            is_sky = inverse_depth < 0.5 * scene.limits[0]
            inverse_depth = np.where(is_sky, np.float32(0), np.clip(inverse_depth, *scene.limits))
            confidence[is_sky] = 0
            shot.write(index, *_enlarged(views, index, inverse_depth, confidence, shot.frames[index]))


def _require_measured(shot: Shot, scene: ShotData, footings: list[NDArray[np.float32]]) -> calibration.Judged:
    """How good the measured depth is, whatever learned depth makes of it; raises `UnsupportedShot` for too little."""
    measured = _judged(shot, replace(scene, learned=None), footings)
    require_measured(measured.confirmed, lens_guessed=scene.views.lens_guessed)
    return measured


def _judged(shot: Shot, scene: ShotData, footings: list[NDArray[np.float32]]) -> calibration.Judged:
    """How good the depth is, by some frames and their neighbors; known before all is stabilized.

    Neighbors tell wrong depth without ground truth: what is right is right in both, what is guessed is guessed anew.
    """
    count, shares, sure = len(scene.views), [], []
    for frame in sorted({int(each) for each in np.linspace(0, max(count - 2, 0), min(count - 1, _COMPARED))}):
        shot.check()
        mine, still = shot_data.placed(scene, footings, frame), shot_data.labels(scene, frame) == 0
        around = [other for other in (frame - 1, frame + 1) if 0 <= other < count]
        seen = np.stack([_static_from(scene, footings, other, frame) for other in around])
        unresolved = shot_data.half_pixel(scene, frame)
        if (compared := (seen[-1] > 0) & still).any():
            differs = np.abs(seen[-1] - mine) > _CONTRADICTS * mine + unresolved
            shares.append(float(np.mean(differs[compared])))
        agreeing = calibration.agreement(seen, (seen > 0).astype(np.float32), mine)
        support = shot_data.support(scene, frame) * shot_data.resolved(scene, frame, mine)
        sure.append(calibration.confidence(support, agreeing))
    return calibration.judged(shares, sure)


def _static_from(scene: ShotData, footings: list[NDArray[np.float32]], other: int, frame: int) -> NDArray[np.float32]:
    """The static part of another frame's depth as a frame sees it; 0 where there is none."""
    there = np.where(shot_data.labels(scene, other) > 0, np.float32(0), shot_data.placed(scene, footings, other))
    return temporal.projected(there, move=scene.views.relative(other, frame), matrix=scene.views.matrix)


def _steadied(scene: ShotData, frame: int, pause: Callable[[], None]) -> NDArray[np.float32]:
    """Inverse depth stabilized over time, and its confidence [2, H, W]."""
    return stabilizing.stabilized(scene, _saved_footings(scene), frame, pause=pause)


def _settled(
    shot: Shot, scene: ShotData, frame: int, pause: Callable[[], None]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Final inverse depth and confidence at the working size."""
    inverse_depth, confidence = stabilizing.once_more(
        scene, lambda each: shot_data.load(scene, _STEADY.name, each), frame, pause=pause
    )
    pause()
    is_sky = _sky(scene, frame)
    inverse_depth[is_sky], confidence[is_sky] = 0, 0  # at every far limit, as `refining.below_sky` has it
    disparity, sure = _enlarged(scene.views, frame, inverse_depth, confidence, shot.frames[frame])
    if scene.mattes is not None:
        disparity = _with_outline(scene, frame, np.asarray(scene.mattes[frame], bool), disparity)
    return disparity, sure


def _sky(scene: ShotData, frame: int) -> NDArray[np.bool_]:
    """Where [H, W] a frame shows sky; nowhere with learned depth, which knows it."""
    labels = shot_data.labels(scene, frame)
    if scene.learned is not None:
        return np.zeros(labels.shape, bool)
    plane, look = shot_data.surroundings(scene)
    return sky.mask(scene.images.color(frame), look, plane, scene.views, frame) & (labels == 0)


def _with_outline(
    scene: ShotData, frame: int, matte: NDArray[np.bool_], disparity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A final map with the outline that the matte gives those of its parts that are subjects."""
    height, width = matte.shape
    subjects = distorted((shot_data.labels(scene, frame) > 0).astype(np.float32), scene.views, frame)
    near = cv2.resize(subjects, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    count, labels = cv2.connectedComponents(matte.astype(np.uint8))
    share = np.bincount(labels[near], minlength=count) / np.bincount(labels.ravel(), minlength=count)
    share[0] = 0
    reach = round(_OUTLINE * width / scene.views.width) + 1
    return moving.cut_out(disparity, np.asarray((share > 0.5)[labels], bool), reach=reach)


def _enlarged(
    views: Views,
    frame: int,
    inverse_depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A frame's inverse depth and confidence at the working size, with the lens distortion."""
    maps = tuple(distorted(each, views, frame) for each in (inverse_depth, confidence))
    disparity, sure = upsample(maps, image.astype(np.float32) / np.float32(255), threads=1)
    return disparity, np.clip(sure, 0, 1)


@dataclass(frozen=True)
class _Step:
    """A step for every frame: its name, also of the folder of its results, and its name for the artist."""

    name: str
    label: str
    work: Callable[[ShotData, int, Callable[[], None]], NDArray]

    @property
    def share(self) -> float:
        """Of all work."""
        return _share(self.name)

    @property
    def begins(self) -> float:
        """The share of all work that comes before."""
        return _begins(self.name)


def _share(name: str) -> float:
    return (1 - _CAMERA_SHARE) * _WEIGHTS[name] / sum(_WEIGHTS.values())


def _begins(name: str) -> float:
    names = list(_WEIGHTS)
    return _CAMERA_SHARE + sum(map(_share, names[: names.index(name)]))


_MATCH = _Step("match", "Matching neighboring frames", _match)
_FLOW = _Step("flow", "Following every pixel", _flow)
_COMPLETE = _Step("complete", "Completing surfaces", _complete)
_OUTLINES = _Step(shot_data.OUTLINES, "Outlining dynamic objects", _outlined)
_LEARNED = _Step("learned", "Reading learned depth", _learned)
_BLEND = _Step("blend", "Completing by learned depth", _blended)
_STEADY = _Step("steady", "Stabilizing over time", _steadied)
_SETTLE_BEGINS = _begins("settle")
