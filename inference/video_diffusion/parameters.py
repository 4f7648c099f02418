"""Parameters that all estimators on these networks share, and the parts of a shot that they use.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.catalogue import Parameter
from ..models import trained
from ..models.facts import Model
from .weights import DEPTHCRAFTER

NETWORK = (
    Parameter(
        name="weights",
        default="",
        folder=True,
        advanced=True,
        description="Folder of a network that was trained with Fathom, which replaces the released one.",
    ),
)
"""Which network."""
_ALSO = {"stereodiff": ("depthcrafter",)}
"""Other estimators whose networks serve one as well."""

WINDOWS = (
    Parameter(
        name="window",
        default=110,
        minimum=1,
        maximum=110,
        description="Frames that are denoised together; the network was trained with up to 110, and fewer take "
        "less memory.",
    ),
    Parameter(
        name="overlap",
        default=25,
        minimum=0,
        maximum=109,
        advanced=True,
        description="Frames that two windows share; more makes transitions smoother and takes longer.",
    ),
    Parameter(
        name="noise_augmentation",
        default=0.02,
        minimum=0.0,
        maximum=1.0,
        advanced=True,
        description="Strength of the noise that is added to the plate before it is encoded.",
    ),
    Parameter(
        name="decode_chunk",
        default=8,
        minimum=1,
        maximum=110,
        advanced=True,
        description="Frames that are decoded together; more is smoother over time and takes more memory.",
    ),
)
"""Windows, encoding and decoding."""

COMPUTING = (
    Parameter(
        name="device",
        default="auto",
        choices=("auto", "cuda", "mps", "cpu"),
        description="Device to compute on; auto uses the GPU where there is one.",
    ),
    Parameter(
        name="precision",
        default="auto",
        choices=("auto", "fp16", "bf16", "fp32"),
        advanced=True,
        description="Precision of the networks; auto chooses by the device.",
    ),
    Parameter(
        name="memory_limit",
        default=0.0,
        minimum=0.0,
        advanced=True,
        description="Limit on the device's memory, in gigabytes; 0: all that is free.",
    ),
    Parameter(
        name="compile",
        default=False,
        advanced=True,
        description="Compile the networks first, which takes a minute or more and pays off on long clips.",
    ),
)
"""Device, precision, memory and compilation."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of `NETWORK`, `WINDOWS` and `COMPUTING`."""

    weights: str
    window: int
    overlap: int
    noise_augmentation: float
    decode_chunk: int
    device: str
    precision: str
    memory_limit: float
    compile: bool


class Shot(Protocol):
    """See `estimators.base.Shot`."""

    @property
    def frames(self) -> Any: ...

    @property
    def seed(self) -> int: ...

    @property
    def scratch(self) -> Path: ...

    @property
    def finished(self) -> frozenset[int]: ...

    @property
    def write(self) -> Callable[..., None]: ...

    @property
    def progress(self) -> Callable[[str, str, float, float], None]: ...

    @property
    def check(self) -> Callable[[], None]: ...

    @property
    def warn(self) -> Callable[[str], None]: ...


def network(weights: str, *, estimator: str) -> Model:
    """The depth network of a run: the one in the folder `weights`, or, where that is empty, the released one.

    StereoDiff takes networks that were trained for DepthCrafter, whose network its paper takes.

    Raises
    ------
    Failure
        USAGE: see `trained.model`.
    """
    return trained.model(weights, networks=(estimator, *_ALSO.get(estimator, ()))) if weights else DEPTHCRAFTER


def check_window(window: int, overlap: int) -> None:
    """Check that a window is longer than its overlap; else a `Failure` (USAGE)."""
    if window < 1:
        raise Failure(exit_codes.USAGE, f"The window must be 1 frame or more, not {window}.")
    if not 0 <= overlap < window:
        raise Failure(
            exit_codes.USAGE,
            f"The overlap ({overlap} frames) must be 0 or more and smaller than the window ({window} frames).",
            hint=f"Choose an overlap of {min(25, window // 4)}, or a longer window.",
        )
