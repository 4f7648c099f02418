"""Measure StereoDiff on this computer: time, memory and the share of what the device can compute, of both stages.

The networks have made-up weights of the released sizes with --random-weights; neither time nor memory depends on the
weights' values. With --count nothing is run: the work and the plans for common cards are found by a dry run.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...contract import exit_codes, records
from ..depthcrafter import benchmark_options
from ..depthcrafter.benchmark_options import networks_config, tell
from . import INFO

if TYPE_CHECKING:  # so that --help needs no torch
    import torch

    from .counting import Task

_PAIR = "pair"
"""What the constructor arguments of the pair network are called in ``--networks``."""
_TF32 = "TF32"
_ENCODERS = ("encode", "prior")
"""Stages of the autoencoder's encoder, which runs in float32 in any case."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark to a parser."""
    benchmark_options.add_common(
        parser, size="640x480", size_help="of the clip's frames; each stage makes of it what its networks take"
    )
    parser.add_argument("--reach", type=int, default=2, help="frames that each frame is matched with (default: 2)")


def run(options: argparse.Namespace) -> int:
    """Run the benchmark.

    Raises
    ------
    Failure
        USAGE: the options make no sense; MISSING: weights, packages or the device are missing; REFUSED: too little
        memory.
    """
    plate = benchmark_options.size(options.size)
    benchmark_options.check_counts(options, "reach")
    from ...video_diffusion.resolution import network_size
    from . import reporting
    from .counting import Task
    from .stage1.matching import picture_size

    width, height = network_size(*plate)
    task = Task(
        plate=plate,
        picture=picture_size(*plate),
        width=width,
        height=height,
        frames=options.frames,
        reach=options.reach,
        repeats=options.repeats,
        long_passes=options.window / (options.window - benchmark_options.overlap(options)),
        **benchmark_options.windowing(options),
    )
    report = _counted(options, task) if options.count else _measured(options, task)
    benchmark_options.show(report, options, reporting.counted if options.count else reporting.measured)
    return exit_codes.OK


def _counted(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from ...video_diffusion.networks import random_networks
    from . import counting, measuring
    from .stage1 import batches

    half = benchmark_options.counted_dtype(options)
    config = networks_config(options, _PAIR) or {}
    single = batches.dtype_of(options.precision)
    outline = measuring.made_up_network(config.get(_PAIR, {}), "meta", single)
    networks = random_networks(config=config or None, device="meta", dtype=half)
    return _facts(task, "none: a dry run") | {
        "stage1": {"precision": _name(single), "work": counting.matching(outline, task)},
        "stage2": {"precision": _name(half), "work": counting.refining(networks, task)},
        "cards": [records.to_json(card) for card in counting.cards(outline, networks, task)],
    }


def _measured(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    from ...video_diffusion import device
    from ..depthcrafter import meter

    place, dtype = device.choose(options.device, options.precision)
    made_up = benchmark_options.are_made_up(options, INFO)
    first = _stage1(options, task, place, made_up=made_up)
    device.release(place)
    second = _stage2(options, task, place, dtype, made_up=made_up)
    names = {name for stage in (first, second) for name in stage["precisions"].values()}
    return _facts(task, meter.label(place)) | {
        "weights": "random" if made_up else "released",
        "stage1": first,
        "stage2": second,
        "product_flops": {name: _pace(place, name) for name in sorted(names)},
    }


def _stage1(options: argparse.Namespace, task: Task, place: torch.device, *, made_up: bool) -> dict[str, Any]:
    from ...models import store
    from ...video_diffusion import device
    from ..depthcrafter import meter
    from . import counting, measuring
    from .settings import MONST3R
    from .stage1 import batches, checkpoint_file
    from .stage1 import memory as stage1_memory

    program = meter.program_bytes(place)
    dtype = batches.dtype_of(options.precision)
    config = (networks_config(options, _PAIR) or {}).get(_PAIR, {})
    tell("Stage 1: making up the network's weights" if made_up else "Stage 1: loading the network")
    real = None if made_up else checkpoint_file.load(store.folder(MONST3R), dtype=dtype)
    outline = measuring.made_up_network(config, "meta", dtype) if real is None else stage1_memory.outlined(real, dtype)
    free = device.free_bytes(place, options.memory_limit)
    given: dict[str, Any] = {"dtype": dtype, "kind": place.type}
    batch = stage1_memory.choose_batch(outline, task.picture, free_bytes=free, **given)
    network = real.to(place) if real else measuring.made_up_network(config, place, dtype)
    rounded = options.precision != "fp32"
    with device.tensor_float(rounded):
        found = measuring.measure_matching(network, task, place, batch, tell=tell)
    name = _name(dtype, place, rounded=rounded)
    return found | {
        "precision": name,
        "precisions": dict.fromkeys(found["ms_per_frame"], name),
        "program_bytes": program,
        "free_bytes": free,
        "batch": batch,
        "planned_bytes": {"pairs": stage1_memory.needed_bytes(outline, task.picture, batch, **given)},
        "work": counting.matching(outline, task),
    }


def _stage2(
    options: argparse.Namespace, task: Task, place: torch.device, dtype: torch.dtype, *, made_up: bool
) -> dict[str, Any]:
    import torch

    from ...video_diffusion import device, memory
    from ..depthcrafter import counting as shared
    from ..depthcrafter import meter
    from ..depthcrafter.benchmark_networks import ready
    from . import counting, measuring

    program = meter.program_bytes(place)  # with what the first stage has left of itself
    free = device.free_bytes(place, options.memory_limit)
    tell("Stage 2: making up the networks' weights" if made_up else "Stage 2: loading the networks")
    given = ready(
        lambda outline: shared.case(outline, task, place.type),
        made_up=made_up,
        config=networks_config(options, _PAIR),
        place=place,
        dtype=dtype,
        free_bytes=free,
        compiled=options.compile,
    )
    found = measuring.measure_refining(given.networks, task, place, given.plan, tell=tell)
    planned = memory.needed_bytes(given.case, given.plan)
    encoder = _name(torch.float32, place, rounded=True)  # cuDNN's convolutions do so by default
    names = {row: encoder if row in _ENCODERS else _name(dtype, place) for row in found["ms_per_frame"]}
    return found | {
        "precision": _name(dtype, place),
        "precisions": names,
        "program_bytes": program,
        "free_bytes": free,
        "plan": records.to_json(given.plan),
        "planned_bytes": {"encode": planned["encode"], "refine": planned["denoise"], "decode": planned["decode"]},
        "work": counting.refining(given.outline, task),
    }


def _name(dtype: torch.dtype, place: torch.device | None = None, *, rounded: bool = False) -> str:
    """What a precision is called; `rounded`: cards multiply float32 as TF32."""
    name = str(dtype).removeprefix("torch.")
    return f"{name} ({_TF32})" if rounded and name == "float32" and place is not None and place.type == "cuda" else name


def _pace(place: torch.device, name: str) -> float:
    """Operations a second of a plain matrix product in a precision, by `_name`."""
    import torch

    from ...video_diffusion import device
    from ..depthcrafter import meter

    with device.tensor_float(_TF32 in name):
        return meter.product_flops(place, getattr(torch, name.split(maxsplit=1)[0]))


def _facts(task: Task, device: str) -> dict[str, Any]:
    import torch

    facts = {"estimator": "stereodiff", "device": device, "torch": torch.__version__}
    return facts | records.to_json(task) | {"pairs": task.pairs, "passes": task.passes}
