"""What an estimator is: facts as data, and one function from a shot's frames to its maps.

A folder under ``inference/estimators/`` is an estimator when its ``__init__.py`` offers ``INFO``, an `EstimatorInfo`,
and ``estimate``, called with a `Shot` and returning a `ShotResult`. Where more of the facts depends on the parameters
than a `Variant` can say, it offers ``info_for`` as well, called with all of them and returning the `EstimatorInfo` of
such a run; a `Failure` that it raises says why they cannot go together. The registry imports every estimator to list
them, so an ``__init__.py`` must not import heavy packages: ``estimate`` does that when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..contract.camera import Camera
from ..contract.depth_sequence import Quantity
from ..models.facts import Model

if TYPE_CHECKING:  # estimators are listed, and their lacks told, also where numpy itself is missing
    import numpy as np
    from numpy.typing import NDArray
from ..contract.catalogue import Parameter


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way of running an estimator that needs less than the others, chosen by one parameter.

    Attributes
    ----------
    parameter : str
        Its name.
    value : int, float, bool, str or None
        What it must be; None: anything but its default.
    models : tuple of Model
        The weights that are needed then.
    default_size : int or None
        As in `EstimatorInfo`; None: the same.
    """

    parameter: str
    value: int | float | bool | str | None = None
    models: tuple[Model, ...] = ()
    default_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class EstimatorInfo:
    """The facts of an estimator.

    Attributes
    ----------
    name, label, summary : str
        Key in the registry, name for the artist, one sentence.
    licence : str
        Licence of code and weights together, as the artist must respect it.
    packages : tuple of str
        Import names of what it needs beyond the light set of packages.
    models : tuple of Model
        Weights that must have been downloaded, and their licences accepted.
    gpu : 'unused', 'useful' or 'needed'
    quantity : Quantity
    default_size : int
        Working size, long side in pixels, when the job names none.
    depth_size : int or None
        Largest long side that depth itself is found at, whatever the working size; None: the working size.
    size_multiple : int
        Width and height of the working size are multiples of this.
    minimum_frames : int
        Shorter shots are refused.
    gives_camera, gives_confidence : bool
    confidence_meaning : str or None
        How confidence was brought to 0..1, for ``depth.json``.
    parameters : tuple of Parameter
    variants : tuple of Variant
        The first that the parameters choose holds; it needs no packages or device but these.
    place : int
        Where it stands in lists, ascending: in the order of what an artist should try.
    scratch_files : tuple of str
        The files that it keeps in `Shot.scratch`, as patterns of `own_files.Names`: no others are ever deleted.
    """

    name: str
    label: str
    summary: str
    licence: str
    quantity: Quantity
    default_size: int
    packages: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    gpu: Literal["unused", "useful", "needed"] = "unused"
    depth_size: int | None = None
    size_multiple: int = 1
    minimum_frames: int = 1
    gives_camera: bool = False
    gives_confidence: bool = False
    confidence_meaning: str | None = None
    parameters: tuple[Parameter, ...] = ()
    variants: tuple[Variant, ...] = ()
    place: int = 100
    scratch_files: tuple[str, ...] = ()

    def used(self, variant: Variant) -> EstimatorInfo:
        """The facts of that way of running it."""
        return replace(self, models=variant.models, default_size=variant.default_size or self.default_size)

    def chosen(self, parameters: Mapping[str, Any]) -> EstimatorInfo:
        """The facts of the variant that parameters choose, if any; all of them must be given."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for variant in self.variants:
            value = parameters[variant.parameter]
            if value == variant.value if variant.value is not None else value != defaults[variant.parameter]:
                return self.used(variant)
        return self


class Frames(Protocol):
    """The frames of one shot at working size, by random access; nothing is held in memory beyond what is asked for.

    ``frames[i]`` is the shot's i-th picture: uint8, RGB, [H, W, 3], brought to display (sRGB).
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
    """Takes finished maps."""

    def __call__(
        self, index: int, disparity: NDArray[np.float32], confidence: NDArray[np.float32] | None = None
    ) -> None:
        """Keep the maps [H, W] of the shot's `index`-th frame; they are final. Each frame is written once."""


class ReportProgress(Protocol):
    """Takes the estimator's progress within the shot."""

    def __call__(self, stage: str, label: str, done: float, total: float) -> None:
        """`done` of `total` units of the whole shot's work are done; `stage` and `label` name what goes on now."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What an estimator is given.

    Attributes
    ----------
    frames : Frames
    parameters : dict
        Every declared parameter with its value.
    seed : int
    camera : Camera or None
        What is known of the camera, scaled to the working size: its focal length alone, or its path with a pose for
        every frame of the shot.
    mattes : Frames-like or None
        ``mattes[i]`` bool [H, W], True where the picture moves on its own; None: unknown.
    shown : tuple of int
        For each frame the index of the one that it shows once more, or its own; empty: no frame repeats another.
    scratch : Path
        A folder of the estimator's own that outlives the run: what is saved there (by `common.files`, in one
        step) lets a later run of the same job resume. It is deleted once the whole job is complete.
    finished : frozenset of int
        Indices of frames that an earlier run of the same job has written; they need not be written again, but what
        later frames depend on must come out bit-identical.
    write : Writer
    progress : ReportProgress
    check : callable
        Raises `Cancelled` when the run should stop; to be called between steps of at most half a second.
    warn : callable
        Tells the artist, at once and in one sentence, what does not stop the work; `ShotResult.warnings` come last.
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
    warn: Callable[[str], None] = field(default=lambda message: None)


@dataclass(frozen=True, kw_only=True)
class ShotResult:
    """What an estimator returns once all frames of the shot are written.

    Attributes
    ----------
    camera : Camera or None
        At the working size, with one pose for every frame of the shot; None where the estimator gives none.
    warnings : tuple of str
        One sentence each, for the artist.
    """

    camera: Camera | None = None
    warnings: tuple[str, ...] = field(default=())
