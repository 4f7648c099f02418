"""Measure DepthCrafter on this computer: time, memory and the share of what the device can compute.

The networks have made-up weights of the released sizes with --random-weights; neither time nor memory depends on the
weights' values. With --count nothing is run: the work and the plans for common cards are found by a dry run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import exit_codes, records
from ...faults import Failure

if TYPE_CHECKING:  # so that --help needs no torch
    import torch

    from .counting import Work
    from .measuring import Task
    from .networks import Networks

_SIDE = 64


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark to a parser."""
    parser.add_argument("--random-weights", action="store_true", help="made-up weights, so that none are needed")
    parser.add_argument("--networks", metavar="FILE", help="JSON with the constructor arguments of made-up networks")
    parser.add_argument("--size", default="1024x576", metavar="WxH", help="both multiples of 64 (default: 1024x576)")
    parser.add_argument("--frames", type=int, default=110, help="length of the clip (default: 110)")
    parser.add_argument("--steps", type=int, default=5, help="denoising steps (default: 5)")
    parser.add_argument("--guidance", type=float, default=1.0, help="above 1: two passes a step (default: 1)")
    parser.add_argument("--window", type=int, default=110, help="frames denoised together (default: 110)")
    parser.add_argument("--overlap", type=int, help="frames that windows share (default: 25, or less of short windows)")
    parser.add_argument("--decode-chunk", type=int, default=8, help="frames decoded together (default: 8)")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp16, bf16 or fp32 (default: auto)")
    parser.add_argument("--memory-limit", type=float, default=0.0, metavar="GB", help="keep within so much memory")
    parser.add_argument("--compile", action="store_true", help="compile the layers first")
    parser.add_argument("--plain", action="store_true", help="measure diffusers' stock modules as well")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times each stage is run; the median counts (default: 3)"
    )
    parser.add_argument("--count", action="store_true", help="count work and memory only, by a dry run")
    parser.add_argument("--json", action="store_true", help="print every number as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the benchmark.

    Raises
    ------
    Failure
        USAGE: the options make no sense; MISSING: weights, packages or the device are missing; REFUSED: too little
        memory.
    """
    width, height = _size(options.size)
    for name in ("frames", "steps", "window", "decode_chunk", "repeats"):
        if getattr(options, name) < 1:
            raise _wrong(f"--{name.replace('_', '-')} {getattr(options, name)} is less than 1.")
    from . import measuring, reporting, windows

    overlap = min(25, options.window // 4) if options.overlap is None else options.overlap
    windows.check_window(options.window, overlap)
    task = measuring.Task(
        width=width,
        height=height,
        frames=options.frames,
        steps=options.steps,
        guidance=options.guidance,
        window=min(options.window, options.frames),
        overlap=overlap if options.frames > options.window else 0,
        decode_chunk=min(options.decode_chunk, options.frames),
        repeats=options.repeats,
    )
    report = _counted(options, task) if options.count else _measured(options, task)
    told = reporting.counted if options.count else reporting.measured
    print(json.dumps(report, indent=2) if options.json else told(report))
    return exit_codes.OK


def _counted(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from . import counting, device
    from .networks import random_networks

    dtype = device.PRECISIONS.get("fp16" if options.precision == "auto" else options.precision)
    if dtype is None:
        raise _wrong(f"There is no precision '{options.precision}'.")
    outline = random_networks(config=_config(options), device="meta", dtype=dtype)
    return _facts(task, "none: a dry run", dtype) | {
        "work": records.to_json(counting.work(outline, task)),
        "plans": [records.to_json(card) for card in counting.cards(outline, task)],
    }


def _measured(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from . import counting, demand, device, measuring, memory, meter
    from .networks import random_networks

    place, dtype = device.choose(options.device, options.precision)
    free, program = device.free_bytes(place, options.memory_limit), meter.program_bytes(place)
    config = _config(options)
    made_up = options.random_weights or config is not None
    real = None if made_up else _released(dtype)
    outline = memory.outlined(real, dtype) if real else random_networks(config=config, device="meta", dtype=dtype)
    case = demand.Case(
        networks=outline,
        width=task.width,
        height=task.height,
        window=task.window,
        decode_chunk=task.decode_chunk,
        guided=task.guidance > 1,
        kind=place.type,
    )
    plan = memory.choose_plan(case, free, compiled=options.compile)
    work: Work = counting.work(outline, task)
    _tell("Making up the networks' weights" if made_up else "Loading the networks")
    where: torch.device | str = "cpu" if plan.networks_on_host else place
    networks: Networks = real or random_networks(config=config, device=where, dtype=dtype)
    own = measuring.measure(networks, task, place, plan, tell=_tell)
    plain = measuring.measure_plain(networks, task, place, tell=_tell) if options.plain else None
    return _facts(task, meter.label(place), dtype) | {
        "weights": "random" if made_up else "released",
        "free_bytes": free,
        "program_bytes": program,
        "plan": records.to_json(plan),
        "planned_bytes": demand.needed_bytes(case, plan),
        "product_flops": meter.product_flops(place, dtype),
        "work": records.to_json(work),
        "own": own.as_json(),
        "plain": plain.as_json() if plain else None,
        "psnr": measuring.compare(own, plain) if plain else None,
    }


def _facts(task: Task, device: str, dtype: torch.dtype) -> dict[str, Any]:
    import torch

    facts = {"estimator": "depthcrafter", "device": device, "precision": str(dtype).removeprefix("torch.")}
    return facts | {"torch": torch.__version__, **records.to_json(task)}


def _released(dtype: torch.dtype) -> Networks:
    """The downloaded networks, in the computer's memory."""
    from ...models import store
    from .. import registry
    from . import INFO, networks
    from .weights import DEPTHCRAFTER, SVD

    registry.require(INFO)
    return networks.load(store.folder(DEPTHCRAFTER), store.folder(SVD), dtype=dtype)


def _config(options: argparse.Namespace) -> dict[str, Any] | None:
    """Constructor arguments of made-up networks; None: the released ones'."""
    if options.networks is None:
        return None
    try:
        config = json.loads(Path(options.networks).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _wrong(f"{options.networks} cannot be read as JSON ({error}).") from error
    parts = {"unet", "vae", "image_encoder", "scheduler"}
    if not isinstance(config, dict) or not parts <= set(config):
        raise _wrong(f"{options.networks} must hold {', '.join(sorted(parts))}.")
    return config


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) and int(side) % _SIDE == 0 for side in sides):
        raise _wrong(f"--size {text} is no size whose sides are multiples of {_SIDE}, such as 1024x576.")
    return int(sides[0]), int(sides[1])


def _wrong(what: str) -> Failure:
    return Failure(exit_codes.USAGE, what, cure="See --help.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
