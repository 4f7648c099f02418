"""Measure DepthCrafter on this computer: time, memory and the share of what the device can compute.

The networks have made-up weights of the released sizes with --random-weights; neither time nor memory depends on the
weights' values. With --count nothing is run: the work and the plans for common cards are found by a dry run.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...contract import exit_codes, records
from . import INFO, benchmark_options
from .benchmark_options import networks_config, tell

if TYPE_CHECKING:  # so that --help needs no torch
    import torch

    from .measuring import Task

_SIDE = 64


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark to a parser."""
    benchmark_options.add_common(parser, size="1024x576", size_help=f"both multiples of {_SIDE}")
    parser.add_argument("--steps", type=int, default=5, help="denoising steps (default: 5)")
    parser.add_argument("--guidance", type=float, default=1.0, help="above 1: two passes a step (default: 1)")
    parser.add_argument("--plain", action="store_true", help="measure diffusers' stock modules as well")


def run(options: argparse.Namespace) -> int:
    """Run the benchmark.

    Raises
    ------
    Failure
        USAGE: the options make no sense; MISSING: weights, packages or the device are missing; REFUSED: too little
        memory.
    """
    width, height = benchmark_options.size(options.size, multiple_of=_SIDE)
    benchmark_options.check_counts(options, "steps")
    from . import measuring, reporting

    task = measuring.Task(
        width=width,
        height=height,
        frames=options.frames,
        steps=options.steps,
        guidance=options.guidance,
        repeats=options.repeats,
        **benchmark_options.windowing(options),
    )
    report = _counted(options, task) if options.count else _measured(options, task)
    benchmark_options.show(report, options, reporting.counted if options.count else reporting.measured)
    return exit_codes.OK


def _counted(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from ...video_diffusion.networks import random_networks
    from . import counting

    dtype = benchmark_options.counted_dtype(options)
    outline = random_networks(config=networks_config(options), device="meta", dtype=dtype)
    return _facts(task, "none: a dry run", dtype) | {
        "work": records.to_json(counting.work(outline, task)),
        "plans": [
            records.to_json(card) for card in counting.cards(counting.case(outline, task, guided=task.guidance > 1))
        ],
    }


def _measured(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from ...video_diffusion import device, memory
    from . import counting, measuring, meter
    from .benchmark_networks import ready

    place, dtype = device.choose(options.device, options.precision)
    free, program = device.free_bytes(place, options.memory_limit), meter.program_bytes(place)
    config = networks_config(options)
    made_up = benchmark_options.are_made_up(options, INFO)
    tell("Making up the networks' weights" if made_up else "Loading the networks")
    given = ready(
        lambda outline: counting.case(outline, task, place.type, guided=task.guidance > 1),
        made_up=made_up,
        config=config,
        place=place,
        dtype=dtype,
        free_bytes=free,
        compiled=options.compile,
    )
    work = counting.work(given.outline, task)
    own = measuring.measure(given.networks, task, place, given.plan, tell=tell)
    plain = measuring.measure_plain(given.networks, task, place, tell=tell) if options.plain else None
    return _facts(task, meter.label(place), dtype) | {
        "weights": "random" if made_up else "released",
        "free_bytes": free,
        "program_bytes": program,
        "plan": records.to_json(given.plan),
        "planned_bytes": memory.needed_bytes(given.case, given.plan),
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
