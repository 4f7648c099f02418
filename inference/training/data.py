"""The clips of a training: a YAML file that names sets of them, and the check of every clip before the first step.

::

    name: acme-depth                # what the trained weights are called
    license:                        # under which they may be used; estimates need at least a title
      title: Acme internal use
      summary: For productions of Acme alone.
      url: https://acme.example/weights
    train:
      - name: renders               # as tables call the set
        folder: /data/renders
        layout: folder              # or any other of `evaluate --layout`, such as dynamic-replica, matrix-city
        license: our own renders    # recorded with the weights
        unknown: far                # pixels without depth are infinitely far, as a rendered sky is; `masked`, the
                                    # default, leaves them out of the loss
        only: [clip-0001, clip-0002]  # names of clips (default: all)
        repeat: 2                   # how often a clip comes for once of others (default: 1)
    held:                           # clips to measure the weights on, which are not trained on
      - name: courtyard
        folder: /data/held

Folders are relative to the file. A clip that cannot be trained on is skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from ..common import yaml_file
from ..common.failures import ClipError, Failure
from ..contract import exit_codes, records
from ..contract.records import Bounds, Word
from ..contract.untrusted import RecordError, read_text
from ..evaluation import datasets
from ..evaluation.datasets import protocols
from ..evaluation.datasets.ground_truth import GroundTruth, GroundTruthError
from ..models.trained import Terms

_LARGEST = 1 << 20
"""Bytes of the largest such file."""
_FLAT = 1e-6
"""Range of a clip's disparity, as a share of its largest, below which it has no depth."""


@dataclass(frozen=True, kw_only=True)
class Set:
    """Clips in one layout; see the module."""

    name: Word
    folder: Word
    layout: Word = "folder"
    license: Word = ""
    unknown: Literal["masked", "far"] = "masked"
    only: tuple[Word, ...] = ()
    repeat: Annotated[int, Bounds(1, 10_000)] = 1


@dataclass(frozen=True, kw_only=True)
class Data:
    """The content of the file; see the module."""

    name: Word
    train: tuple[Set, ...]
    held: tuple[Set, ...] = ()
    license: Terms = field(default_factory=Terms)


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A clip that can be trained on.

    Attributes
    ----------
    set : str
    truth : GroundTruth
    is_far : bool
        Whether pixels without depth are infinitely far; else they are unknown.
    """

    set: str
    truth: GroundTruth
    is_far: bool = False

    @property
    def name(self) -> str:
        """Of set and clip, for messages."""
        return f"{self.set}, {self.truth.name}"

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.truth)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the check of a clip found.

    Attributes
    ----------
    clip : str
    frames : int
    size : (width, height)
        Of its images.
    nearest, farthest : float
        Known depth, in the set's unit.
    unknown : float
        Share of the pixels without depth.
    problem : str
        Why it is skipped; empty: it is not.
    """

    clip: str
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    nearest: float = 0.0
    farthest: float = 0.0
    unknown: float = 0.0
    problem: str = ""


def load(path: str | Path) -> Data:
    """Read the file; paths in the result are absolute.

    Raises
    ------
    Failure
        USAGE: it cannot be read or is not valid.
    """
    file = Path(path).absolute()
    try:
        content = yaml_file.parse(read_text(file, most=_LARGEST), file, what="a list of clips")
        if not isinstance(content, dict):
            raise RecordError(f"{file} is not a list of clips but {type(content).__name__}.")
        data = records.from_json(Data, content, where=file.name, strict=True)
    except OSError as error:
        raise Failure(
            exit_codes.USAGE, f"{file} cannot be read ({error.strerror}).", hint="Name the YAML file of the clips."
        ) from error
    except RecordError as error:
        what = str(error).rstrip(".")
        raise Failure(exit_codes.USAGE, f"{what}.", hint="docs/training.md describes the file.") from error
    for each in (*data.train, *data.held):
        if each.layout not in protocols.LAYOUTS:
            raise Failure(
                exit_codes.USAGE,
                f"The set {each.name} has an unknown layout '{each.layout}'.",
                hint=f"Write one of {', '.join(protocols.LAYOUTS)}.",
            )
    names = [each.name for each in (*data.train, *data.held)]
    for name in names:
        if names.count(name) > 1:
            raise Failure(exit_codes.USAGE, f"Two sets are called {name}.", hint="Give each a name of its own.")
    if not data.train:
        raise Failure(exit_codes.USAGE, f"{file} names no clips to train on.", hint="Add a set below 'train'.")
    place = file.parent

    def absolute(sets: tuple[Set, ...]) -> tuple[Set, ...]:
        return tuple(replace(each, folder=str((place / each.folder).absolute())) for each in sets)

    return replace(data, train=absolute(data.train), held=absolute(data.held))


def opened(each: Set) -> list[Clip]:
    """The clips of a set, opened but not read.

    Raises
    ------
    Failure
        USAGE: the folder is not in its layout, or has not all of the clips that are named.
    """
    try:
        found = datasets.open_clips(each.folder, each.layout)
    except (GroundTruthError, ClipError, OSError) as error:
        raise Failure(exit_codes.USAGE, f"The set {each.name} cannot be opened: {error}") from error
    absent = sorted(set(each.only) - {clip.name for clip in found})
    if absent:
        raise Failure(
            exit_codes.USAGE,
            f"The set {each.name} has no clip {absent[0]}.",
            hint=f"It has {', '.join(clip.name for clip in found[:8])}{', …' if len(found) > 8 else ''}.",
        )
    kept = [clip for clip in found if not each.only or clip.name in each.only]
    return [Clip(set=each.name, truth=clip, is_far=each.unknown == "far") for clip in kept]


def checked(
    data: Data, *, shortest: int, thorough: bool = False, check: Callable[[], None] = lambda: None
) -> Iterator[tuple[Report, Clip | None, int]]:
    """Every clip to train on with its report and how often it comes; None for one that is skipped.

    `thorough`: every frame is read; else the first, the middle one and the last.

    Raises
    ------
    Failure
        As `opened`.
    """
    for each in data.train:
        for clip in opened(each):
            check()
            report = examined(clip, shortest=shortest, thorough=thorough, check=check)
            yield report, None if report.problem else clip, each.repeat


def examined(clip: Clip, *, shortest: int, thorough: bool, check: Callable[[], None] = lambda: None) -> Report:
    """Read some frames of a clip, or all, and say what is wrong with it."""
    count = len(clip)
    known: dict[str, Any] = {"clip": clip.name, "frames": count}
    if count < shortest:
        return Report(**known, problem=f"it has {count} frames, and the shortest sequence has {shortest}")
    frames = range(count) if thorough else sorted({0, count // 2, count - 1})
    near, far, pixels, without, size = np.inf, 0.0, 0, 0, (0, 0)
    try:
        for frame in frames:
            check()
            depth, image = clip.truth.depth(frame), clip.truth.image(frame)
            if image is None:
                return Report(**known, problem="it has no images")
            here = image.shape[1], image.shape[0]
            size = size if size != (0, 0) else here
            if here != size:
                return Report(**known, problem=f"frame {frame} is {here[0]}x{here[1]} pixels, not {size[0]}x{size[1]}")
            if abs(depth.shape[1] / depth.shape[0] * here[1] / here[0] - 1) > 0.02:
                shape = f"{depth.shape[1]}x{depth.shape[0]}"
                return Report(**known, problem=f"depth of {shape} pixels has another aspect than images of {here}")
            has = np.isfinite(depth) & (depth > 0)
            pixels, without = pixels + has.size, without + int(np.count_nonzero(~has))
            if has.any():
                near, far = min(near, float(depth[has].min())), max(far, float(depth[has].max()))
    except (GroundTruthError, ClipError, OSError, ValueError, MemoryError) as error:
        return Report(**known, size=size, problem=f"frame {frame} cannot be read: {str(error).rstrip('.')}")
    share = without / pixels
    known |= {"size": size, "nearest": near if far else 0.0, "farthest": far, "unknown": share}
    if not far:
        return Report(**known, problem="no pixel has depth")
    if not (clip.is_far and without) and 1 / near - 1 / far < _FLAT / near:
        return Report(**known, problem="its depth is the same everywhere")
    return Report(**known)
