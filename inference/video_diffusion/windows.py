"""Long clips in overlapping segments: their frame ranges, how they are joined (DepthCrafter, section 3.4, figure 3),
and the random numbers of a run.

The random numbers are drawn in the order of the published implementation, in chunks, from one generator on the CPU:
first the pixel noise of the whole clip, then the first latents of one window. Chunked draws equal one large draw where
every chunk has a multiple of 16 elements, which a frame always has: its sides are multiples of 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from .parameters import check_window


def segments(count: int, window: int, overlap: int) -> list[range]:
    """The segments of a clip of `count` frames, as ranges of frames.

    A clip that fits into the window is one segment. Otherwise each begins `window` - `overlap` frames after the one
    before, and the last may be as short as `overlap` + 1 frames.
    """
    check_window(window, overlap)
    if count <= window:
        return [range(count)]
    stride = window - overlap
    return [range(start, min(start + window, count)) for start in range(0, count - overlap, stride)]


def extended(
    latents: Tensor,
    index: int,
    start: Tensor,
    *,
    overlap: int,
    anchor: bool,
    stitch: bool,
    sigmas: tuple[float, float],
    denoise: Callable[[Tensor], Tensor],
) -> Tensor:
    """Denoise the next segment and join it to the latents so far.

    Parameters
    ----------
    latents : Tensor [n, 4, h, w]
        Denoised so far; its last `overlap` frames are the segment's first. Not read for the first segment.
    index : int
        Of the segment, from 0.
    start : Tensor [m, 4, h, w]
        Standard normal noise for it, see `segment_noise`.
    overlap : int
    anchor : bool
        Whether overlapped frames start from the previous segment's result, so that both agree in scale and shift;
        False: from pure noise of their own.
    stitch : bool
        See `joined`.
    sigmas : (float, float)
        See `stages.first_sigmas`.
    denoise : callable
        Takes the segment's first latents [m, 4, h, w] and returns them denoised.

    Returns
    -------
    Tensor [n + m - overlap, 4, h, w]
        With the overlapped frames as both segments have them.
    """
    sigma, pure = sigmas
    if index == 0 or overlap == 0:
        new = denoise(start * pure)
        return new if index == 0 else torch.cat([latents, new])
    before = latents[-overlap:]
    if anchor:
        new = denoise(torch.cat([before + start[:overlap] * sigma, start[overlap:] * pure]))
    else:
        new = denoise(start * pure)
    return torch.cat([latents[:-overlap], joined(before, new[:overlap], stitch=stitch), new[overlap:]])


def joined(before: Tensor, after: Tensor, *, stitch: bool) -> Tensor:
    """The overlapped frames of two segments as one, latents [overlap, 4, h, w].

    `stitch`: mortise and tenon, the later segment's weight grows linearly from 0 to 1, both included (figure 3). Else
    the plain mean, the baseline of the paper's ablation (section 4.3).
    """
    overlap = len(before)
    if stitch:
        weight = torch.linspace(0, 1, overlap, device=before.device).reshape(-1, 1, 1, 1)
    else:
        weight = torch.full((overlap, 1, 1, 1), 0.5, device=before.device)
    return weight * after + (1 - weight) * before


class Blending:
    """Cross-fading of the `overlap` frames that consecutive windows share; `waiting` is an earlier one's, to resume."""

    def __init__(self, overlap: int, waiting: Iterable[Tensor] = ()) -> None:
        self._overlap = overlap
        self._weights = torch.linspace(0, 1, overlap).tolist() if overlap > 1 else [0.5] * overlap
        self.waiting: list[Tensor] = list(waiting)

    def through(
        self, window: range, maps: Iterable[Tensor | None], *, last: bool
    ) -> Iterator[tuple[int, Tensor | None]]:
        """Yield the frames of a window that are final now, with maps; `waiting` is then what the next window needs.

        There is one map [H, W] for each of the window's frames; None where nobody needs the frame. The last `overlap`
        ones are needed, unless no window follows. The window's weight grows linearly from 0 to 1 over the overlap.
        """
        before, self.waiting = self.waiting, []
        final = len(window) - (0 if last else self._overlap)
        for position, (index, own) in enumerate(zip(window, maps, strict=True)):
            blended = own
            if own is not None and position < len(before):
                blended = torch.lerp(before[position], own, self._weights[position])
            if position < final:
                yield index, blended
            elif blended is None:
                raise ValueError(f"the next window needs frame {index}")
            else:
                self.waiting.append(blended)


def pixel_noise(generator: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """The next `count` frames of pixel noise, [count, 3, height, width], standard normal."""
    return torch.randn(count, 3, height, width, generator=generator)


def latent_noise(generator: torch.Generator, window: int, height: int, width: int) -> Tensor:
    """The pool of latent noise, [window, 4, height / 8, width / 8]; the pixel noise has been drawn before it."""
    return torch.randn(1, window, 4, height // 8, width // 8, generator=generator)[0]


def skipped(
    generator: torch.Generator, count: int, height: int, width: int, *, check: Callable[[], None] = lambda: None
) -> torch.Generator:
    """A copy of `generator` advanced past the pixel noise of `count` frames.

    No frames need to be read for it, so a segment can be denoised before the rest of the clip is read.
    """
    ahead = torch.Generator()
    ahead.set_state(generator.get_state())
    scratch = torch.empty(3, height, width)
    for _ in range(count):
        scratch.normal_(generator=ahead)
        check()
    return ahead


def segment_noise(pool: Tensor, index: int, length: int, overlap: int, *, anchor: bool) -> Tensor:
    """Standard normal noise that a segment starts from, [length, 4, h, w], from the pool [window, 4, h, w].

    `anchor`: the pool is rolled by `overlap` for each segment, so that overlapped frames start with the same noise as
    in the segment before. Else every segment starts with the unrolled pool, so overlapped frames get different noise.
    """
    return (torch.roll(pool, index * overlap, dims=0) if anchor else pool)[:length]
