"""The options that benchmarks of network estimators share, and what is made of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.failures import Failure
from ...contract import exit_codes
from .. import registry
from ..base import EstimatorInfo

if TYPE_CHECKING:  # so that --help needs no torch
    import torch

COUNTED = ("frames", "window", "decode_chunk", "repeats")
PARTS = ("unet", "vae", "image_encoder", "scheduler")


def add_common(parser: argparse.ArgumentParser, *, size: str, size_help: str) -> None:
    """Add the options to a parser; `size` is the default of ``--size``."""
    parser.add_argument("--random-weights", action="store_true", help="made-up weights, so that none are needed")
    parser.add_argument("--networks", metavar="FILE", help="JSON with the constructor arguments of made-up networks")
    parser.add_argument("--size", default=size, metavar="WxH", help=f"{size_help} (default: {size})")
    parser.add_argument("--frames", type=int, default=110, help="length of the clip (default: 110)")
    parser.add_argument("--window", type=int, default=110, help="frames denoised together (default: 110)")
    parser.add_argument("--overlap", type=int, help="frames that windows share (default: 25, or less of short windows)")
    parser.add_argument("--decode-chunk", type=int, default=8, help="frames decoded together (default: 8)")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp16, bf16 or fp32 (default: auto)")
    parser.add_argument("--memory-limit", type=float, default=0.0, metavar="GB", help="keep within so much memory")
    parser.add_argument("--compile", action="store_true", help="compile the layers first")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times each stage is run; the median counts (default: 3)"
    )
    parser.add_argument("--count", action="store_true", help="count work and memory only, by a dry run")
    parser.add_argument("--json", action="store_true", help="print every number as JSON")


def check_counts(options: argparse.Namespace, *names: str) -> None:
    """Refuse what must be 1 or more and is less: these options and `COUNTED`."""
    for name in (*COUNTED, *names):
        if getattr(options, name) < 1:
            raise wrong(f"--{name.replace('_', '-')} {getattr(options, name)} is less than 1.")


def size(text: str, *, multiple_of: int = 1) -> tuple[int, int]:
    """Width and height from a text such as 1024x576."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) and int(side) % multiple_of == 0 for side in sides):
        fitting = f" whose sides are multiples of {multiple_of}" if multiple_of > 1 else ""
        raise wrong(f"--size {text} is no size{fitting}, such as 1024x576.")
    return int(sides[0]), int(sides[1])


def overlap(options: argparse.Namespace) -> int:
    """Frames that the windows of a long clip share."""
    from ...video_diffusion.parameters import check_window

    found: int = min(25, options.window // 4) if options.overlap is None else options.overlap
    check_window(options.window, found)
    return found


def windowing(options: argparse.Namespace) -> dict[str, int]:
    """Frames of a window, of its overlap and of a decoder's chunk, as the clip's length leaves them."""
    return {
        "window": min(options.window, options.frames),
        "overlap": overlap(options) if options.frames > options.window else 0,
        "decode_chunk": min(options.decode_chunk, options.frames),
    }


def are_made_up(options: argparse.Namespace, info: EstimatorInfo) -> bool:
    """Whether the networks are made up; a `Failure` (MISSING) where they are not, and an estimator cannot run."""
    if options.random_weights or options.networks is not None:
        return True
    registry.require(info)
    return False


def networks_config(options: argparse.Namespace, *more: str) -> dict[str, Any] | None:
    """Constructor arguments of made-up networks, of `PARTS` and more; None: the released ones'."""
    if options.networks is None:
        return None
    try:
        config = json.loads(Path(options.networks).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong(f"{options.networks} cannot be read as JSON ({error}).") from error
    parts = {*PARTS, *more}
    if not isinstance(config, dict) or not parts <= set(config):
        raise wrong(f"{options.networks} must hold {', '.join(sorted(parts))}.")
    return config


def counted_dtype(options: argparse.Namespace) -> torch.dtype:
    """The dtype for which work and memory are counted; a card's usual one where it is left open."""
    from ...video_diffusion.device import PRECISIONS

    dtype = PRECISIONS.get("fp16" if options.precision == "auto" else options.precision)
    if dtype is None:
        raise wrong(f"There is no precision '{options.precision}'.")
    return dtype


def wrong(what: str) -> Failure:
    """Options that make no sense."""
    return Failure(exit_codes.USAGE, what, cure="See --help.")


def tell(text: str) -> None:
    """Say what is under way."""
    print(text, file=sys.stderr, flush=True)


def show(report: dict[str, Any], options: argparse.Namespace, told: Callable[[dict[str, Any]], str]) -> None:
    """Print a report as JSON, or as `told` words it."""
    print(json.dumps(report, indent=2) if options.json else told(report))
