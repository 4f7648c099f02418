"""Random numbers of a run, in the order in which the published implementation draws them, and piece by piece.

All come from one generator on the CPU: first the pixel noise of the whole clip, then the first latents of one window.
A generator's piecewise draws equal one large draw where every piece has a multiple of 16 numbers, which a frame
always has: its sides are multiples of 64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def pixel_noise(generator: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """The next `count` frames of pixel noise, [count, 3, height, width], standard normal."""
    return torch.randn(count, 3, height, width, generator=generator)


def latent_noise(generator: torch.Generator, window: int, height: int, width: int) -> Tensor:
    """The pool of latent noise, [window, 4, height / 8, width / 8]; the pixel noise has been drawn before it."""
    return torch.randn(1, window, 4, height // 8, width // 8, generator=generator)[0]


def skipped(
    generator: torch.Generator, count: int, height: int, width: int, *, check: Callable[[], None] = lambda: None
) -> torch.Generator:
    """A generator that stands where `generator` will once it has drawn the pixel noise of `count` frames.

    The clip's frames need not be read for it, so that a segment can be denoised before the clip's end is known.
    """
    ahead = torch.Generator()
    ahead.set_state(generator.get_state())
    scratch = torch.empty(3, height, width)
    for _ in range(count):
        scratch.normal_(generator=ahead)
        check()
    return ahead


def segment_noise(pool: Tensor, index: int, length: int, overlap: int, *, anchor: bool) -> Tensor:
    """Standard normal noise that a segment starts from, [length, 4, h, w].

    Parameters
    ----------
    pool : Tensor [window, 4, h, w]
    index : int
        Of the segment, from 0.
    length : int
        Of the segment; no longer than the pool.
    overlap : int
    anchor : bool
        True: the pool is rolled by `overlap` for each segment, so that overlapped frames begin with the very noise
        that they had in the segment before. False: every segment begins with the pool as it is, so that overlapped
        frames have other noise than before.
    """
    return (torch.roll(pool, index * overlap, dims=0) if anchor else pool)[:length]
