"""Which estimators the worker has, asked from outside. Standard library only.

Blender cannot import the estimators, so it asks the worker once; adding an estimator stays adding one folder.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import records
from .client import MAIN, clean_environment


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One knob of an estimator.

    Attributes
    ----------
    name : str
        Key in the job's parameters; lower case with underscores.
    default : int, float, bool or str
        Its type is the parameter's type.
    minimum, maximum : number or None
        Both included.
    choices : tuple of str
        What a str may be; empty for any.
    depth_sequence : bool
        Whether the text names the folder of another depth sequence; empty: none.
    advanced : bool
        Whether artists do without it: it is for research, or for what the defaults do by themselves.
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
    advanced: bool = False


@dataclass(frozen=True, kw_only=True)
class Lack:
    """What is missing on this computer, and what to do about it, one sentence each.

    Attributes
    ----------
    what, cure : str
    kind : str
        ``packages`` (of the full set), ``environment`` (of the light one), ``weights`` (they or their licence),
        ``device``; a kind that is not known here is told by its sentences.
    """

    what: str
    cure: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class VariantFacts:
    """A way of running an estimator that needs less, chosen by one parameter.

    Attributes
    ----------
    parameter : str
    value : Any
        What it must be; None: anything but its default.
    default_size : int or None
        None: the estimator's.
    lacks : tuple of Lack
    """

    parameter: str
    value: Any = None
    default_size: int | None = None
    lacks: tuple[Lack, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EstimatorFacts:
    """An estimator for the artist to choose.

    Attributes
    ----------
    name, label, summary, licence : str
        A broken estimator has nothing but its name.
    default_size : int or None
        Working size, long side in pixels, when none is asked for; None: not known here.
    depth_size : int or None
        Largest long side that depth itself is found at, whatever the working size; None: the working size.
    lacks : tuple of Lack
        What it needs and does not find; empty where it can run.
    notes : tuple of Lack
        What it would be better or faster with.
    variants : tuple of VariantFacts
        The first that the parameters choose holds.
    """

    name: str
    label: str = ""
    summary: str = ""
    licence: str = ""
    default_size: int | None = None
    depth_size: int | None = None
    parameters: tuple[Parameter, ...] = ()
    lacks: tuple[Lack, ...] = ()
    notes: tuple[Lack, ...] = ()
    variants: tuple[VariantFacts, ...] = ()

    def chosen(self, parameters: Mapping[str, Any]) -> EstimatorFacts:
        """The facts as parameters make them; what is not named has its default."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for variant in self.variants:
            default = defaults.get(variant.parameter)
            value = parameters.get(variant.parameter, default)
            if value == variant.value if variant.value is not None else value != default:
                return replace(self, lacks=variant.lacks, default_size=variant.default_size or self.default_size)
        return self


EMBEDDED = EstimatorFacts(
    name="parallax",
    label="Parallax",
    summary="Depth from the camera's own motion; needs no weights and no GPU",
)
"""What can be told without an environment: the default that comes with Fathom."""


@dataclass(frozen=True)
class Fallback:
    """The estimator that does any clip, and what it needs: the names of its weights and of their licence."""

    estimator: str
    weights: str
    licence: str
    terms: str
    """What it downloads and under which terms, for people."""


QUICK = Fallback(
    estimator="quick",
    weights="tcmonodepth-small",
    licence="mit-tcmonodepth",
    terms="TCMonoDepth small, 0.8 MB once, MIT licence, copyright (c) 2021 Yu Li",
)


def ask(python: Path, home: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the worker that tells its estimators; `answer` takes what it says.

    Raises
    ------
    OSError
        The Python does not run.
    """
    return subprocess.Popen(
        [python, "-I", "-u", MAIN, "estimators", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=clean_environment(home),
        creationflags=0x08000000 if os.name == "nt" else 0,  # CREATE_NO_WINDOW
    )


def answer(process: subprocess.Popen[bytes]) -> tuple[EstimatorFacts, ...]:
    """Wait for the worker's answer and read it.

    Raises
    ------
    RecordError
        What came is no list of estimators.
    """
    text = process.communicate()[0].decode("utf-8", "replace")
    return read(text)


def read(text: str) -> tuple[EstimatorFacts, ...]:
    """Read the worker's list, a JSON array; facts that this version does not know are passed over.

    Raises
    ------
    RecordError
        It is no such list, or an empty one.
    """
    data = records.parse(text, where="The list of estimators")
    if not isinstance(data, list) or not data:
        raise records.RecordError("The list of estimators is empty.")
    return tuple(records.from_json(EstimatorFacts, item, where="estimator", strict=False) for item in data)
