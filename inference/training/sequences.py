"""What a training sees: sequences of frames with disparity, drawn of the clips by a number alone.

Sequence n of a training is the same whichever process asks for it, in whatever order, and after any interruption:
nothing is drawn but from generators that are seeded by the training's seed and that number. Every clip comes once in a
round over all clips, in an order of that round's own; round r shows variant r modulo `variants` of each clip, so that
variants come again, and are found in the cache (`examples`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..evaluation.datasets.ground_truth import GroundTruthError
from ..evaluation.datasets.protocols import to_size
from .data import Clip
from .recipe import Settings

_VARIANT, _ORDER, _STEP = 1, 2, 3
"""Kinds of random numbers, as part of their seed."""
_ATTEMPTS = 100
"""Sequences that are tried in the place of one whose frames cannot be read."""
_FLAT = 1e-6


class UnusableSequence(Exception):
    """A sequence that nothing can be learned from; the message is the reason, without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A sequence of a clip: which of its frames, and how they are changed.

    Attributes
    ----------
    clip : int
        Its place in the list of clips.
    first, length, stride : int
    crop : (float, float, float)
        Size of the crop, as a share of the largest of the network's aspect, and its place across and down, 0 to 1.
    is_flipped : bool
    brightness, contrast, saturation : float
        Factors of the image.
    augmentation : float
        Standard deviation of the noise that is added to the images, -1 to 1, before they are encoded.
    noise_seed : int
        Of that noise.
    """

    clip: int
    first: int
    length: int
    stride: int
    crop: tuple[float, float, float]
    is_flipped: bool
    brightness: float
    contrast: float
    saturation: float
    augmentation: float
    noise_seed: int

    @property
    def frames(self) -> range:
        """Frames of the clip."""
        return range(self.first, self.first + self.length * self.stride, self.stride)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """The pixels of a sequence.

    Attributes
    ----------
    images : float32 [T, H, W, 3]
        RGB, 0 to 1.
    disparity : float32 [T, H, W]
        0 for the farthest to 1 for the nearest point of the whole sequence; unknown pixels have that of the nearest
        known one.
    known : bool [T, H, W]
    """

    images: NDArray[np.float32]
    disparity: NDArray[np.float32]
    known: NDArray[np.bool_]


def clip_of(settings: Settings, repeats: Sequence[int], number: int) -> tuple[int, int]:
    """The clip of sequence `number`, and its variant; `repeats` says how often each clip comes in a round."""
    listed = np.repeat(np.arange(len(repeats)), repeats)
    turn, place = divmod(number, len(listed))
    order = np.random.default_rng((settings.seed, _ORDER, turn)).permutation(len(listed))
    position = int(order[place])
    clip = int(listed[position])
    copy = position - int(np.flatnonzero(listed == clip)[0])
    return clip, (turn * int(repeats[clip]) + copy) % settings.variants


def drawn(settings: Settings, clip: int, count: int, variant: int) -> Excerpt:
    """Variant of a clip of `count` frames, at least the shortest sequence's."""
    random = np.random.default_rng((settings.seed, _VARIANT, clip, variant))
    length = int(random.integers(settings.shortest, min(settings.longest, count) + 1))
    longest_stride = min(settings.largest_stride, (count - 1) // (length - 1)) if length > 1 else 1
    stride = int(random.integers(1, longest_stride + 1))
    first = int(random.integers(0, count - (length - 1) * stride))
    size, across, down, flip = random.uniform(size=4)
    brightness, contrast, saturation = random.uniform(1 - settings.color, 1 + settings.color, 3)
    augmentation = np.exp(random.normal(settings.augmentation_mean, settings.augmentation_deviation))
    return Excerpt(
        clip=clip,
        first=first,
        length=length,
        stride=stride,
        crop=(settings.smallest_crop + (1 - settings.smallest_crop) * size, across, down),
        is_flipped=bool(flip < settings.flip),
        brightness=float(brightness),
        contrast=float(contrast),
        saturation=float(saturation),
        augmentation=float(augmentation),
        noise_seed=int(random.integers(2**62)),
    )


def step_generator(settings: Settings, number: int) -> np.random.Generator:
    """The generator of what is drawn for sequence `number` at its step: noise level, noise and dropout."""
    return np.random.default_rng((settings.seed, _STEP, number))


def usable(
    settings: Settings,
    clips: Sequence[Clip],
    repeats: Sequence[int],
    number: int,
    *,
    read: Callable[[Excerpt], Any],
    warn: Callable[[str], None],
) -> Any:
    """What `read` makes of sequence `number`, or of the next number's round where that cannot be used.

    Raises
    ------
    UnusableSequence
        None of the sequences that were tried can be used.
    """
    total, reason = int(np.sum(repeats)), ""
    for attempt in range(_ATTEMPTS):
        clip, variant = clip_of(settings, repeats, number + attempt * (total + 1))
        try:
            return read(drawn(settings, clip, len(clips[clip]), variant))
        except (GroundTruthError, ClipError, OSError, UnusableSequence) as error:
            reason = str(error).rstrip(".")
            warn(f"A sequence of {clips[clip].name} is skipped: {reason}.")
    raise UnusableSequence(f"{_ATTEMPTS} sequences in a row cannot be used; the last one because {reason}")


def pixels(settings: Settings, clip: Clip, sequence: Excerpt, check: Callable[[], None] = lambda: None) -> Pixels:
    """Read a sequence.

    Its disparity, 1/Z, is normalized by one range for all frames (section 3.2). Depth is resized by nearest neighbors,
    so that no depth lies between an object and its background.

    Raises
    ------
    GroundTruthError, ClipError
        A frame cannot be read.
    UnusableSequence
        There is no depth in it, or the same everywhere.
    """
    size = settings.width, settings.height
    images, inverse, known = [], [], []
    for frame in sequence.frames:
        check()
        image, depth = clip.truth.image(frame), clip.truth.depth(frame)
        if image is None:
            raise UnusableSequence(f"frame {frame} has no image")
        colored = to_size(image[_part(sequence, image.shape, size)], *size)
        images.append(_recolored(colored, sequence))
        near = cv2.resize(
            np.ascontiguousarray(depth[_part(sequence, depth.shape, size)]), size, interpolation=cv2.INTER_NEAREST
        )
        has = np.isfinite(near) & (near > 0)
        inverse.append(np.where(has, 1 / np.where(has, near, 1), 0).astype(np.float32))
        known.append(has | clip.is_far)
    disparity, valid = normalized(np.stack(inverse), np.stack(known), settings.range_quantile)
    colors = np.stack(images)
    if sequence.is_flipped:
        colors, disparity, valid = colors[:, :, ::-1], disparity[:, :, ::-1], valid[:, :, ::-1]
    return Pixels(
        images=np.ascontiguousarray(colors),
        disparity=np.ascontiguousarray(disparity),
        known=np.ascontiguousarray(valid),
    )


def normalized(
    inverse: NDArray[np.float32], known: NDArray[np.bool_], quantile: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Inverse depth [T, H, W] as disparity from 0 to 1, with one range for all frames; unknown pixels are filled.

    Raises
    ------
    UnusableSequence
        As `pixels`.
    """
    if not known.any():
        raise UnusableSequence("it has no depth")
    low, high = (float(value) for value in np.quantile(inverse[known], [quantile, 1 - quantile]))
    if not high - low > _FLAT * abs(high):
        raise UnusableSequence("its depth is the same everywhere")
    disparity = np.clip((inverse - low) / (high - low), 0, 1).astype(np.float32)
    if not known.all():
        middle = np.float32(np.median(disparity[known]))
        disparity = np.stack([_filled(*each, middle) for each in zip(disparity, known)])
    return disparity, known


def _filled(disparity: NDArray[np.float32], known: NDArray[np.bool_], middle: np.float32) -> NDArray[np.float32]:
    """A map [H, W] whose unknown pixels have the value of the nearest known one; `middle` where there is none."""
    if known.all():
        return disparity
    if not known.any():
        return np.full_like(disparity, middle)
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(labels.max()) + 1, np.float32)
    values[labels[known]] = disparity[known]
    return np.where(known, disparity, values[labels])


def _part(sequence: Excerpt, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the sequence's crop in images of a shape [H, W, ...]; it has the aspect of `size`."""
    height, width = shape[:2]
    share, across, down = sequence.crop
    fit = min(width / size[0], height / size[1]) * share
    wide, high = (max(1, min(round(fit * side), most)) for side, most in zip(size, (width, height)))
    left, top = round(across * (width - wide)), round(down * (height - high))
    return slice(top, top + high), slice(left, left + wide)


def _recolored(image: NDArray[np.uint8], sequence: Excerpt) -> NDArray[np.float32]:
    """An image [H, W, 3] as float32, 0 to 1, with the sequence's brightness, contrast and saturation."""
    values = image.astype(np.float32) / np.float32(255)
    if (sequence.brightness, sequence.contrast, sequence.saturation) == (1, 1, 1):
        return values
    gray = (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    values = gray + (values - gray) * np.float32(sequence.saturation)
    values = (values - 0.5) * np.float32(sequence.contrast) + 0.5
    return np.clip(values * np.float32(sequence.brightness), 0, 1).astype(np.float32)
