"""The worker's estimators, described for other processes. Standard library only.

Blender cannot import the estimators, so it asks the worker once; a new estimator is still one new folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import client, records
from .client import Question


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of an estimator.

    Attributes
    ----------
    name : str
        Key in the job's parameters; lower case with underscores.
    default : int, float, bool or str
        Its type is the type of the parameter.
    minimum, maximum : number or None
        Both inclusive.
    choices : tuple of str
        Valid values of a str; empty: any.
    depth_sequence : bool
        Whether the value is the folder of another depth sequence; empty: none.
    folder : bool
        Whether the value is any other folder; empty: none.
    advanced : bool
        Whether artists rarely need it: it is for research, or the default chooses well by itself.
    description : str
        One sentence for the artist.
    """

    name: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    depth_sequence: bool = False
    folder: bool = False
    advanced: bool = False


@dataclass(frozen=True, kw_only=True)
class MissingRequirement:
    """A requirement that is missing on this computer, and how to provide it, one sentence each.

    `kind`: ``packages`` (of the full set), ``environment`` (of the light one), ``weights`` (they or their license),
    ``device``; for an unknown kind the sentences are shown. `weights` names the weights that a download provides.
    """

    what: str
    hint: str
    kind: str = ""
    weights: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VariantFacts:
    """A variant of an estimator with fewer requirements, selected by a parameter's value; None: any but the default.

    Without a `default_size`, it has the estimator's.
    """

    parameter: str
    value: Any = None
    default_size: int | None = None
    missing_requirements: tuple[MissingRequirement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings for one level of quality; whatever is not named has its default.

    Attributes
    ----------
    name : str
        ``draft``, ``standard`` or ``fine``.
    size : int or None
        Processing resolution, long side in pixels; None: the estimator's.
    full_size : bool
        Whether maps are upsampled to the plate's size.
    parameters : dict
    """

    name: str = "standard"
    size: int | None = None
    full_size: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)


STANDARD = Preset()


def presets(*, draft: Preset, fine: Preset) -> tuple[Preset, ...]:
    """An estimator's presets in order; *Standard* is its defaults."""
    return (replace(draft, name="draft"), STANDARD, replace(fine, name="fine"))


@dataclass(frozen=True, kw_only=True)
class EstimatorFacts:
    """Facts about an estimator that the artist can choose; a broken one has only its name.

    Attributes
    ----------
    default_size : int or None
        Default processing resolution, long side in pixels; None: unknown.
    depth_size : int or None
        Largest long side at which depth is estimated, whatever the processing resolution; None: no limit.
    notes : tuple of MissingRequirement
        Optional requirements that would make it better or faster.
    variants : tuple of VariantFacts
        The first that the parameters select applies.
    presets : tuple of Preset
        Draft, Standard and Fine; none where unknown.
    preview_frames : int
        How many frames show what the estimator makes of a clip.
    has_confidence : bool
        Whether it has confidence maps.
    """

    name: str
    label: str = ""
    summary: str = ""
    licence: str = ""
    default_size: int | None = None
    depth_size: int | None = None
    parameters: tuple[Parameter, ...] = ()
    missing_requirements: tuple[MissingRequirement, ...] = ()
    notes: tuple[MissingRequirement, ...] = ()
    variants: tuple[VariantFacts, ...] = ()
    presets: tuple[Preset, ...] = ()
    preview_frames: int = 24
    has_confidence: bool = False

    def chosen(self, parameters: Mapping[str, Any]) -> EstimatorFacts:
        """The facts for some parameters; those not named have their defaults."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for variant in self.variants:
            default = defaults.get(variant.parameter)
            value = parameters.get(variant.parameter, default)
            if value == variant.value if variant.value is not None else value != default:
                return replace(
                    self,
                    missing_requirements=variant.missing_requirements,
                    default_size=variant.default_size or self.default_size,
                )
        return self


AUTOMATIC = EstimatorFacts(
    name="automatic",
    label="Automatic",
    summary="Parallax where the camera moves, completed by the best learned network on this computer; that network "
    "alone elsewhere",
)
"""The default, described without an inference environment. It is no estimator of its own: `run.automatic` chooses for
each shot.
"""
COMPLETE, COMPLETE_FROM = "complete", "complete_from"
"""Parameters of an estimator that learned depth completes: that of the best network, or of a depth sequence."""
EMBEDDED = (AUTOMATIC.name, "parallax", "quick")
"""Names of what needs no more than the light set of packages."""


@dataclass(frozen=True)
class Fallback:
    """An estimator for any clip, computer and use, with the names of its weights and of their license."""

    estimator: str
    weights: str
    licence: str
    terms: str
    """What it downloads and under which license, in words."""


QUICK = Fallback(
    estimator="quick",
    weights="tcmonodepth-small",
    licence="mit-tcmonodepth",
    terms="TCMonoDepth small, 0.8 MB once, MIT license, copyright (c) 2021 Yu Li",
)
VIDEO_DEPTH_ANYTHING = Fallback(
    estimator="video_depth_anything",
    weights="video-depth-anything-small",
    licence="apache-2.0",
    terms="Video Depth Anything small, 116 MB once, Apache License 2.0",
)
LEARNED = (VIDEO_DEPTH_ANYTHING, QUICK)
"""The learned networks that Automatic takes by itself, best first; one that this Fathom lacks is passed over."""


def ask(python: Path, home: Path | None = None) -> Question:
    """Start the worker to list its estimators; `answer` reads the list. OSError where the Python cannot be started."""
    return client.ask(python, ["estimators", "--json"], home=home)


def answer(question: Question) -> tuple[EstimatorFacts, ...]:
    """Wait for the worker's answer and read it. RecordError where it is not a list of estimators."""
    return read(question.answer()[1].decode("utf-8", "replace"))


def read(text: str) -> tuple[EstimatorFacts, ...]:
    """Read the worker's list, a JSON array; facts unknown to this version are ignored.

    Raises
    ------
    RecordError
        The text is not such a list, or the list is empty.
    """
    data = records.parse(text, where="The list of estimators")
    if not isinstance(data, list) or not data:
        raise records.RecordError("The list of estimators is empty.")
    return tuple(records.from_json(EstimatorFacts, item, where="estimator", strict=False) for item in data)
