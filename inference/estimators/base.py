"""The interface of an estimator: facts as data, and one function from a shot's frames to its depth maps.

A folder under ``inference/estimators/`` is an estimator when its ``__init__.py`` has ``INFO``, an `EstimatorInfo`, and
``estimate``, called with a `Shot` and returning a `ShotResult`. Where facts depend on the parameters in a way that a
`Variant` cannot describe, it also has ``info_for``, called with all parameters and ``has_mattes`` (whether the job has
mattes of its own) and returning the `EstimatorInfo` of such a run, or raising a `Failure` for what excludes each other.

Where parts of the work on a shot can be done by processes of their own, on several computers that share a disk, it also
has ``phases``, called with a `Shot` and returning its `Phase`s in order. What they save in `Shot.scratch` are the
checkpoints that ``estimate`` resumes from, which does all that they left and so has the same result.

The registry imports every estimator to list them, so an ``__init__.py`` must not import heavy packages: ``estimate``
does that when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..contract.camera import Camera
from ..contract.depth_sequence import Quantity
from ..models.facts import Model

if TYPE_CHECKING:  # estimators are listed, with their missing requirements, even without numpy
    import numpy as np
    from numpy.typing import NDArray
from ..contract.catalogue import COMPLETE, COMPLETE_FROM, STANDARD, Parameter, Preset

COMPLETION = (
    Parameter(
        name=COMPLETE_FROM,
        default="",
        depth_sequence=True,
        description="Folder of another depth sequence of the same clip, fitted to the measured depth: it has the depth "
        "of dynamic objects, blank walls, sky and shots without parallax.",
    ),
    Parameter(
        name=COMPLETE,
        default=False,
        description="Complete the measured depth with that of the best learned network on this computer, which is "
        "estimated first.",
    ),
)
"""Parameters of an estimator that `completes`; `run.automatic` and `run.shots` read them."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way of running an estimator that needs less than the others, chosen by one parameter.

    Attributes
    ----------
    parameter : str
        Its name.
    value : int, float, bool, str or None
        The value that chooses the variant; None: any but the default.
    models : tuple of Model
        The weights that the variant needs.
    default_size : int or None
        As in `EstimatorInfo`; None: the same.
    """

    parameter: str
    value: int | float | bool | str | None = None
    models: tuple[Model, ...] = ()
    default_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an estimate takes, about, at the default size; 0: unknown.

    Attributes
    ----------
    frame_seconds : float
        On two CPU cores, or on a GPU for an estimator that needs one.
    start_seconds : float
        From the start of a process to its first frame, networks loaded.
    memory, gpu_memory : float
        Host memory, and a GPU's where one is used, in GB.
    """

    frame_seconds: float = 0.0
    start_seconds: float = 3.0
    memory: float = 0.0
    gpu_memory: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EstimatorInfo:
    """The facts of an estimator.

    Attributes
    ----------
    name, label, summary : str
        Key in the registry, name for the artist, one sentence.
    licence : str
        Of code and weights together, as it binds the artist.
    packages : tuple of str
        Import names of packages that it needs beyond the light set.
    models : tuple of Model
        Weights that must be downloaded, with their licenses accepted.
    gpu : 'unused', 'useful' or 'needed'
    quantity : Quantity
    unit : 'metres' or None
        Of an ``inverse_depth``; None: that of the camera path.
    default_size : int
        Working size, long side in pixels, when the job names none.
    depth_size : int or None
        Largest long side at which depth is computed, whatever the working size; None: the working size.
    size_multiple : int
        Width and height of the working size are multiples of this.
    minimum_frames : int
        Shorter shots are not supported.
    has_camera, has_confidence : bool
    uses_poses : bool
        Whether it uses the poses of `Shot.camera`, so that its depth is in their unit.
    completes : bool
        Whether it uses `Shot.learned` for what it cannot measure; it declares the parameters `COMPLETION` then.
    sinks : bool
        Whether small subjects sink into what is behind them in its depth.
    confidence_meaning : str or None
        How confidence is mapped to 0..1, for ``depth.json``.
    parameters : tuple of Parameter
    variants : tuple of Variant
        The first one that the parameters choose applies.
    place : int
        Position in lists, ascending: the order in which an artist should try the estimators.
    presets : tuple of Preset
        Draft, Standard and Fine.
    cost : Cost
    preview_frames : int
        How many frames show what the estimator makes of a clip, such as its window.
    scratch_files : tuple of str
        Its files in `Shot.scratch`, as patterns of `own_files.Names`; no other files are deleted.
    """

    name: str
    label: str
    summary: str
    licence: str
    quantity: Quantity
    default_size: int
    unit: Literal["metres"] | None = None
    packages: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    gpu: Literal["unused", "useful", "needed"] = "unused"
    depth_size: int | None = None
    size_multiple: int = 1
    minimum_frames: int = 1
    has_camera: bool = False
    has_confidence: bool = False
    uses_poses: bool = False
    completes: bool = False
    sinks: bool = False
    confidence_meaning: str | None = None
    parameters: tuple[Parameter, ...] = ()
    variants: tuple[Variant, ...] = ()
    place: int = 100
    presets: tuple[Preset, ...] = (STANDARD,)
    cost: Cost = Cost()
    preview_frames: int = 24
    scratch_files: tuple[str, ...] = ()

    def used(self, variant: Variant) -> EstimatorInfo:
        """The facts of a variant."""
        return replace(self, models=variant.models, default_size=variant.default_size or self.default_size)

    def chosen(self, parameters: Mapping[str, Any]) -> EstimatorInfo:
        """The facts of the variant that the parameters choose, if any; `parameters` has all of them."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for variant in self.variants:
            value = parameters[variant.parameter]
            if value == variant.value if variant.value is not None else value != defaults[variant.parameter]:
                return self.used(variant)
        return self


class Frames(Protocol):
    """The frames of one shot at working size, read on demand and not kept in memory.

    ``frames[i]`` is the shot's i-th frame: uint8, RGB, [H, W, 3], display-referred (sRGB).
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def numbers(self) -> Sequence[int]:
        """Source frame numbers, so that ``frames[i]`` is frame ``numbers[i]``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...


class Writer(Protocol):
    """Writes finished depth maps."""

    def __call__(
        self, index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None
    ) -> None:
        """Write the final maps [H, W] of the shot's `index`-th frame; each frame is written once."""


class ReportProgress(Protocol):
    """Reports the estimator's progress within the shot."""

    def __call__(self, stage: str, label: str, done: float, total: float) -> None:
        """`done` of `total` units of the shot's work are finished; `stage` and `label` name the current step."""


class LearnedDepth(Protocol):
    """Depth of a shot that a learned network made: right up to a scale and a shift, which drift."""

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """The finite map [h, w] of the shot's `index`-th frame, of any size; larger is nearer."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """The input of an estimator.

    Attributes
    ----------
    frames : Frames
    parameters : dict
        Every declared parameter with its value.
    seed : int
    camera : Camera or None
        The known camera, scaled to the working size: its focal length alone, or its path. A shot of an estimator
        that uses poses has one for every frame, or none.
    mattes : Frames-like or None
        ``mattes[i]`` bool [H, W], True on dynamic objects; None: unknown.
    shown : tuple of int
        For each frame the index of the frame that it repeats, or its own; empty: no frame repeats another.
    learned : LearnedDepth or None
        Depth of the same frames for what the estimator cannot measure, where it `completes` and there is any.
    learned_sinks : bool
        Whether small subjects sink into what is behind them in `learned`.
    lens_tag : (float, float) or None
        The focal length that the clip's files name, in lengths of the longer side of the image, and the deviation of
        its logarithm: a hint where there is no `camera`.
    scratch : Path
        The estimator's own folder, which outlives the run: checkpoints saved there (by `common.files`, in one step) let
        a later run of the same job resume. It is deleted once the whole job is complete.
    finished : frozenset of int
        Indices of frames that an earlier run of the same job has written; they need not be written again, but what
        later frames depend on must be computed bit-identically.
    write : Writer
    progress : ReportProgress
    check : callable
        Raises `Cancelled` when the run should stop; to be called between steps of at most half a second.
    warn : callable
        Shows the artist a warning of one sentence at once; `ShotResult.warnings` are shown at the end.
    """

    frames: Frames
    parameters: dict[str, Any]
    seed: int
    camera: Camera | None
    mattes: Any | None
    scratch: Path
    finished: frozenset[int]
    write: Writer
    progress: ReportProgress
    check: Any
    shown: tuple[int, ...] = ()
    learned: LearnedDepth | None = None
    learned_sinks: bool = False
    lens_tag: tuple[float, float] | None = None
    warn: Callable[[str], None] = field(default=lambda message: None)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the work on a shot, in units that are independent of each other and of how many are done at once.

    Attributes
    ----------
    name, label : str
        One word, and a name for the artist.
    kind : 'shot', 'window' or 'frame'
        What a unit is: the whole shot, a window of frames, or a frame.
    units : int
        How many there are; of frames, as many as the shot has, some of which may need no work.
    work : float
        Its share of the estimator's time for the shot, about.
    run : callable
        Does a range of units, apart from those with a saved result, and returns the files of all their results.
    """

    name: str
    label: str
    kind: Literal["shot", "window", "frame"]
    units: int
    work: float
    run: Callable[[range], Sequence[Path]]


@dataclass(frozen=True, kw_only=True)
class ShotResult:
    """The result of an estimator once all frames of the shot are written.

    Attributes
    ----------
    camera : Camera or None
        At the working size, with one pose for every frame of the shot; None where the estimator solves none.
    warnings : tuple of str
        One sentence each, for the artist.
    quantity : Quantity or None
        Of this shot's maps; None: the declared one.
    completed : bool
        Whether `Shot.learned` has a part in the maps.
    """

    camera: Camera | None = None
    warnings: tuple[str, ...] = field(default=())
    quantity: Quantity | None = None
    completed: bool = False
