"""What all estimators on these networks share: parameters, their values, and what they take of a shot.

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
        description="Frames that two windows share; more joins them better and takes longer.",
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
        description="Frames that are decoded together; more look smoother over time and take more memory.",
    ),
)
"""How a clip is cut up, and encoded and decoded."""

COMPUTING = (
    Parameter(
        name="device",
        default="auto",
        choices=("auto", "cuda", "mps", "cpu"),
        description="What computes; auto takes the GPU where there is one.",
    ),
    Parameter(
        name="precision",
        default="auto",
        choices=("auto", "fp16", "bf16", "fp32"),
        advanced=True,
        description="Of the networks' numbers; auto chooses by the device.",
    ),
    Parameter(
        name="memory_limit",
        default=0.0,
        minimum=0.0,
        advanced=True,
        description="Gigabytes of the device's memory to keep within; 0: all that is free.",
    ),
    Parameter(
        name="compile",
        default=False,
        advanced=True,
        description="Compile the networks first, a minute or more, which pays for itself on long clips.",
    ),
)
"""On what, in which numbers and within which memory."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of `WINDOWS` and `COMPUTING`."""

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


def check_window(window: int, overlap: int) -> None:
    """Refuse a window that its overlap fills.

    Raises
    ------
    Failure
        USAGE.
    """
    if window < 1:
        raise Failure(exit_codes.USAGE, f"The window must be 1 frame or more, not {window}.")
    if not 0 <= overlap < window:
        raise Failure(
            exit_codes.USAGE,
            f"The overlap ({overlap} frames) must be 0 or more and smaller than the window ({window} frames).",
            cure=f"Choose an overlap of {min(25, window // 4)}, or a longer window.",
        )
