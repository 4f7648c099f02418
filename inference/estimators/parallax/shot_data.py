"""What all steps of a shot share: its data, and what the steps have saved of its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.files import load_array, load_arrays, save_arrays
from ..base import LearnedDepth, Shot
from . import completion, ground, keeping_pace, moving, pixel_paths, sgm, sky, sweep
from .frames import UndistortedFrames, resized, sizes
from .tracks import Tracks
from .triangulate import sure_inverse_depths
from .view import Views

NEIGHBORS, OUTLINES, OBJECTS = "neighbors.npz", "outlines", "objects"
SURROUNDINGS, FIT, GROUND = "surroundings.npz", "fit.npz", "ground.npy"
_BEYOND = 4.0  # times farther and nearer than measured depth: the range of learned depth
_COARSE = 0.1  # relative error of depth with which confidence is halved, where half a pixel makes it
NEARER = 3.0  # times nearer than everything static that a dynamic object may be


@dataclass(frozen=True)
class ShotData:
    """The data that all frames share."""

    views: Views
    images: UndistortedFrames
    """At the size of stereo."""
    motion_views: Views
    motion_images: UndistortedFrames
    """At the size of flow and of what moves, which may be smaller."""
    neighbors: tuple[tuple[int, ...], ...]
    farthest: float
    nearest: float
    """Inverse depths."""
    folder: Path
    tracks: Tracks
    """At the size of motion, undistorted."""
    motion: moving.TrackMotion
    mattes: Any | None
    found_mattes: bool
    """Whether the mattes are the network's, which are of people whether they move or not."""
    learned: LearnedDepth | None
    """Of the frames; None where measured depth is not completed by it."""
    sinks: bool
    """Whether dynamic objects sink into what is behind them in it, so that it is not their depth as it is."""

    @property
    def limits(self) -> tuple[np.float32, np.float32]:
        """Smallest and largest inverse depth of the maps: learned depth is also of what cannot be measured."""
        farther = _BEYOND if self.learned is not None else 1.0
        return np.float32(self.farthest / farther), np.float32(self.nearest * max(farther, NEARER))


def collected(shot: Shot, full: Views, tracks: Tracks, *, found_mattes: bool) -> ShotData:
    """The shared data of the passes; `full` and `tracks` are at the working size."""
    images, motion_images = sizes(shot.frames, full)
    views, coarse = images.views, motion_images.views
    everywhere = np.concatenate([views.sparse(frame)[1][:, 2] for frame in range(len(views))])
    least, nearest = np.percentile(1 / everywhere, 0.5), 1.35 * np.percentile(1 / everywhere, 99.5)
    static = sure_inverse_depths(tracks, full)
    farthest = min(0.5 * least, np.percentile(static, 0.5) if len(static) else np.inf)
    ratio = np.array([coarse.width / full.width, coarse.height / full.height])
    small = ((tracks.xy + 0.5) * ratio - 0.5).astype(np.float32)
    return ShotData(
        views,
        images,
        coarse,
        motion_images,
        sweep.neighbors(shot.scratch / NEIGHBORS, views, check=shot.check),
        float(farthest),
        float(nearest),
        shot.scratch,
        replace(tracks, xy=small),
        _track_motion(shot, tracks, full),
        shot.mattes,
        found_mattes,
        shot.learned,
        shot.learned_sinks,
    )


def _track_motion(shot: Shot, tracks: Tracks, views: Views) -> moving.TrackMotion:
    """The tracks classified as static or dynamic; saved in the scratch folder."""
    kept = shot.scratch / "unrest.npz"
    if kept.exists():
        return moving.TrackMotion(**load_arrays(kept))
    found = moving.track_motion(tracks, views)
    save_arrays(kept, still=found.still, moving=found.moving)
    return found


def surroundings(
    scene: ShotData, check: Callable[[], None] = lambda: None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The plane of the ground that was matched, see `ground.find`, and how sky looks, see `sky.find`; saved.

    `check` is called for each frame that is read, and may raise to end the work.
    """
    kept = scene.folder / SURROUNDINGS
    if not kept.exists():

        def matched(frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            inverse_depth, margin, match = load(scene, "match", frame)
            return inverse_depth, sgm.sure(margin) * np.clip(1 - 2 * match, 0, 1)

        plane = ground.find(scene.views, matched, check=check)
        seen = sky.find(scene.views, plane, scene.images.color, lambda frame: matched(frame)[0], check=check)
        save_arrays(kept, plane=plane, sky=seen)
    found = load_arrays(kept)
    return found["plane"], found["sky"]


def file(scene: ShotData, name: str, frame: int) -> Path:
    """The file of a frame's result of a step."""
    return scene.folder / name / f"{frame:06d}.npy"


def load(scene: ShotData, name: str, frame: int) -> NDArray:
    """A frame's result of a step."""
    return load_array(file(scene, name, frame))


def votes(scene: ShotData, frame: int) -> keeping_pace.Votes:
    """A frame's points, and which are static and which move."""
    part = slice(scene.tracks.starts[frame], scene.tracks.starts[frame + 1])
    return scene.tracks.xy[part], scene.motion.still[part], scene.motion.moving[part]


def matte(scene: ShotData, frame: int) -> NDArray[np.bool_] | None:
    """A frame's matte [H, W] of what may move, undistorted, of motion's size; None where there are no mattes."""
    if scene.mattes is None:
        return None
    seen = np.asarray(scene.mattes[frame], np.uint8) * np.uint8(255)
    found = scene.motion_images.undistorted(seen, frame) > 127
    return moving.of_matte(found, *votes(scene, frame)) if scene.found_mattes else found


def paths(scene: ShotData, frame: int) -> list[pixel_paths.PixelPaths]:
    """Where a frame's pixels go in the frames around it."""
    return pixel_paths.pixel_paths(lambda first: load(scene, "flow", first), frame, len(scene.views))


def subjects(scene: ShotData, frame: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A frame's static inverse depth [H, W], completed behind its dynamic objects, and their labels [H, W]."""
    return load(scene, "complete", frame)[0], labels(scene, frame)


def labels(scene: ShotData, frame: int) -> NDArray[np.int32]:
    """Labels [H, W] of a frame's dynamic objects."""
    return load(scene, OBJECTS, frame).astype(np.int32)


def outlined(scene: ShotData, frame: int) -> NDArray[np.bool_]:
    """Where [H, W] a frame was found to move: its dynamic objects, and what lies on the ground."""
    return resized(load(scene, OUTLINES, frame) > 0, scene.views)


def measured(scene: ShotData, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """See `completion.Measured`."""
    inverse_depth, confidence, _ = load(scene, "complete", frame)
    return inverse_depth, completion.weights(confidence, outlined(scene, frame)), load(scene, "learned", frame)


def fitted(
    scene: ShotData,
) -> Callable[[int], tuple[tuple[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]]:
    """Frame to its learned depth, see `completion.Fit.at`, and to the ground's, see `ground.inverse_depth`."""
    fit, plane = completion.load_fit(scene.folder / FIT), load_array(scene.folder / GROUND)
    return lambda frame: (
        fit.at(frame, load(scene, "learned", frame)),
        ground.inverse_depth(plane, scene.views, frame),
    )


def rises(scene: ShotData) -> Callable[[int], NDArray[np.float32]]:
    """Frame to `ground.rises` of what moves, of motion's size; infinite in mattes, which are of what stands."""
    at = fitted(scene)

    def found(frame: int) -> NDArray[np.float32]:
        (seen, _), level = at(frame)
        risen = resized(ground.rises(level, seen, outlined(scene, frame)), scene.motion_views)
        subject = matte(scene, frame)
        return risen if subject is None else np.where(subject, np.float32(np.inf), risen)

    return found


def placed(scene: ShotData, footings: Sequence[NDArray[np.float32]], frame: int) -> NDArray[np.float32]:
    """A completed frame's inverse depth: with learned depth, or dynamic objects at a depth smoothed over time."""
    if scene.learned is not None:
        return load(scene, "blend", frame)[0]
    inverse_depth, numbers = subjects(scene, frame)
    standing = footings[frame][numbers]
    return np.where(standing > 0, standing, inverse_depth)


def support(scene: ShotData, frame: int) -> NDArray[np.float32]:
    """The confidence [H, W] in what was measured; none where it was a mirror image, or moves."""
    confidence = load(scene, "complete" if scene.learned is None else "blend", frame)[1]
    return np.where(labels(scene, frame) > 0, np.float32(0), confidence)


def resolved(scene: ShotData, frame: int, inverse_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well parallax resolves a frame's depth, 0..1: half where half a pixel is `_COARSE` of it."""
    return inverse_depth**2 / (inverse_depth**2 + np.float32(half_pixel(scene, frame) / _COARSE) ** 2)


def half_pixel(scene: ShotData, frame: int) -> float:
    """The inverse depth that half a pixel is in a frame; 0 where it is compared with no other."""
    return sweep.half_pixel(scene.views, frame, scene.neighbors[frame]) if scene.neighbors[frame] else 0.0
