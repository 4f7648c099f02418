"""The memory plan: how many frames and pixels go through the network at once.

The memory that a plan needs comes from a dry run of one window (`video_diffusion.dry_run`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...common.failures import Failure
from ...contract import exit_codes
from ...contract.hints import setting
from ...video_diffusion import dry_run
from ...video_diffusion.dry_run import META, gigabytes, with_margin
from .network import VideoDepthAnything
from .window import Plan, WindowRun
from .windows import PATCH, WINDOW, network_size, window_frames

PLANS = {
    "cuda": (
        Plan(frames=8, fine=4, pixels=8192),
        Plan(frames=4, fine=2, pixels=8192),
        Plan(frames=2, fine=1, pixels=4096),
        Plan(),
    ),
    "mps": (Plan(frames=4, fine=2, pixels=4096), Plan(frames=2, fine=1, pixels=4096), Plan()),
    # a CPU has work for all its cores in one frame, and more of them would only take memory
    "cpu": (Plan(),),
}
"""By kind of device, the fastest first."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The facts of an estimate that its memory depends on.

    Attributes
    ----------
    width, height : int
        Size that the network sees.
    kind : str
        Kind of the device: ``cuda``, ``mps`` or ``cpu``.
    dtype : torch.dtype
        Of the network's products.
    """

    width: int
    height: int
    kind: str
    dtype: torch.dtype


@functools.cache
def needed_bytes(case: Case, plan: Plan) -> int:
    """Bytes of the device's memory that an estimate needs under a plan, without CUDA's own share."""
    with META:
        network = VideoDepthAnything().eval().in_precision(case.dtype)
    run = WindowRun(network, (case.width, case.height), META, plan)
    images = dry_run.on_host((plan.frames, 3, case.height, case.width), torch.float32)
    fed = window_frames(1, 4 * WINDOW)
    *held, last = dict.fromkeys(frame - frame % plan.frames for frame in fed)

    def work() -> None:
        with torch.inference_mode():
            one = network.levels(images.to(META, memory_format=torch.channels_last))
        for first in held:  # encoding each would need no more than encoding the last beside them
            run.hold(range(first, first + plan.frames), [torch.empty_like(level) for level in one])
        del one
        run(fed, plan.fine, lambda indices: images, last=last + plan.frames - 1)

    resident = (*network.parameters(), *network.buffers())
    return with_margin(dry_run.peak_bytes(work, resident=resident, fused_attention=case.kind != "mps"), case.kind)


def plans(case: Case, free_bytes: int) -> Sequence[Plan]:
    """The fastest plan that fits, and those that need less.

    Raises
    ------
    Failure
        UNSUPPORTED: none fits; the message has the figures and what to change.
    """
    known = PLANS[case.kind]
    for index, plan in enumerate(known):
        if (needed := needed_bytes(case, plan)) <= free_bytes:
            return known[index:]
    raise Failure(
        exit_codes.UNSUPPORTED,
        f"Video Depth Anything needs about {gigabytes(needed)} GB for images of {case.width}x{case.height}, and "
        f"{gigabytes(free_bytes, up=False)} GB are free.",
        hint=_smaller(case, free_bytes),
    )


def _smaller(case: Case, free_bytes: int) -> str:
    """The largest images that fit, in words."""
    for side in range(min(case.width, case.height) - PATCH, 0, -4 * PATCH):
        width, height = network_size(case.width, case.height, side)
        smaller = Case(width=width, height=height, kind=case.kind, dtype=case.dtype)
        if (needed := needed_bytes(smaller, PLANS[case.kind][-1])) <= free_bytes:
            return (
                f"Choose smaller images ({setting('input_size', side)} needs about {gigabytes(needed)} GB), or close "
                "other programs that use the memory."
            )
    return "Close other programs that use the memory, or choose the estimator quick."
