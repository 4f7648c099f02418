"""Time, memory and work of Video Depth Anything: windows of one small network, see `networks`.

The share of the floor is that of a plain matrix product's speed. The plain forward pass is the published one: the whole
window at once, every window by itself.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from development.benchmarks.networks import GPUS, Images, held_bytes, log, product_flops, shared_parser
from inference.common.failures import Failure
from inference.estimators import registry, requirements
from inference.estimators.base import Shot
from inference.estimators.video_depth_anything import memory, streaming, windows
from inference.estimators.video_depth_anything.network import VideoDepthAnything
from inference.estimators.video_depth_anything.window import WindowRun
from inference.video_diffusion import device, dry_run
from inference.video_diffusion.dry_run import META

NAME = "video_depth_anything"


def report_of(arguments: list[str]) -> str:
    """Measure or count the estimator; returns what is printed. Wrong options exit."""
    parser = shared_parser(NAME, size="1024x576", frames=54)
    options = parser.parse_args(arguments)
    known = {parameter.name: parameter.default for parameter in registry.info(NAME).parameters}
    parameters = {name: getattr(options, name, default) for name, default in known.items()}
    report = _counted(options, parameters) if options.count else _measured(options, parameters)
    return json.dumps(report, indent=2) if options.json else "\n".join(_text(report))


def _random_network() -> VideoDepthAnything:
    """The released network with random weights; maps are not all at the far end."""
    torch.manual_seed(0)
    network = VideoDepthAnything().eval().requires_grad_(False)
    torch.nn.init.constant_(list(network.head.scratch["output_conv2"].parameters())[-1], 1.0)
    return network


def _work(size: tuple[int, int]) -> dict[str, float]:
    """Operations of one frame: in the encoder with its levels, and in the rest, once in every window."""
    width, height = size
    with META:
        network = VideoDepthAnything().eval()
        image = torch.empty(1, windows.WINDOW, 3, height, width)
    with torch.inference_mode():
        encoder = dry_run.flops(lambda: network.levels(image[0, :1]))
        whole = dry_run.flops(lambda: network(image)) / windows.WINDOW
    return {"encoder": encoder, "head": whole - encoder, "published": whole * windows.WINDOW / windows.STEP}


def _counted(options: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    settings = streaming.Settings(**parameters)
    size = settings.image_size(*options.size, on_cpu=settings.device == "cpu")
    dtype = device.PRECISIONS.get(settings.precision, torch.float16)
    case = memory.Case(width=size[0], height=size[1], kind="cuda", dtype=dtype)
    gpus = {}
    for gigabytes in GPUS:
        try:
            plan = memory.plans(case, int(gigabytes * 1e9 - device.CUDA_CONTEXT))[0]
        except Failure:
            gpus[gigabytes] = "nothing fits"
        else:
            gpus[gigabytes] = f"{(memory.needed_bytes(case, plan) + device.CUDA_CONTEXT) / 1e9:.1f} GB, {plan}"
    return {"size": size, "frames": options.frames, "work": _work(size), "gpus": gpus}


def _measured(options: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    settings = streaming.Settings(**parameters)
    torch_device, dtype = device.choose(settings.device, settings.precision)
    if not options.random_weights:
        requirements.require(registry.info_for(NAME, parameters))
    size = settings.image_size(*options.size, on_cpu=torch_device.type == "cpu")
    case = memory.Case(width=size[0], height=size[1], kind=torch_device.type, dtype=dtype)
    plan = memory.plans(case, device.free_bytes(torch_device, memory_limit=settings.memory_limit))[0]
    report: dict[str, Any] = {
        "size": size,
        "frames": options.frames,
        "device": device.name(torch_device) if torch_device.type != "cpu" else f"{os.cpu_count()} CPU cores",
        "precision": str(dtype).removeprefix("torch."),
        "weights": "random" if options.random_weights else "released",
        "torch": torch.__version__,
        "plan": str(plan),
        "planned_bytes": memory.needed_bytes(case, plan),
        "work": _work(size),
        "product_flops": product_flops(torch_device, dtype),
        "program_bytes": held_bytes(torch_device) if torch_device.type == "cpu" else 0,
    }
    with ExitStack() as stack:
        if options.random_weights:
            stack.enter_context(mock.patch.object(streaming, "load", lambda model: _random_network()))
        log("Measuring Fathom")
        _run(options, parameters, torch_device, min(options.frames, 8))  # loads, and compiles where asked
        runs = [_run(options, parameters, torch_device, options.frames) for _ in range(options.repeats)]
    report["own"] = {
        "network_ms": 1000 * statistics.median(each[0] for each in runs) / options.frames,
        "whole_ms": 1000 * statistics.median(each[1] for each in runs) / options.frames,
        "peak_bytes": max(each[2] for each in runs),
    }
    if options.plain:
        log("Measuring the plain forward pass")
        report["plain"] = _plain(size, torch_device, dtype, options.repeats)
    return report


def _run(options: Any, parameters: dict[str, Any], torch_device: torch.device, count: int) -> tuple[float, float, int]:
    """Seconds in the network and in all, and peak bytes, of a run over some frames."""
    seconds = [0.0]
    call = WindowRun.__call__

    def timed(self: WindowRun, *arguments: Any, **named: Any) -> Any:
        if self.device == META:  # the memory planner's dry run
            return call(self, *arguments, **named)
        device.synchronize(torch_device)
        start = time.perf_counter()
        result = call(self, *arguments, **named)
        seconds[0] += time.perf_counter() - start
        return result

    with tempfile.TemporaryDirectory() as scratch, mock.patch.object(WindowRun, "__call__", timed):
        shot = Shot(
            frames=Images(*options.size, count),
            parameters=parameters,
            seed=0,
            camera=None,
            mattes=None,
            scratch=Path(scratch),
            finished=frozenset(),
            write=lambda index, disparity, confidence=None: None,
            progress=lambda stage, label, done, total: None,
            check=lambda: None,
            warn=log,
        )
        with _peak(torch_device) as peak:
            start = time.perf_counter()
            streaming.estimate_shot(shot)
            whole = time.perf_counter() - start
    return seconds[0], whole, peak[0]


def _plain(size: tuple[int, int], torch_device: torch.device, dtype: torch.dtype, repeats: int) -> dict[str, float]:
    """The published forward pass: a window of 32 frames at once, in half precision by autocast."""
    network = _random_network().to(torch_device)
    network.frames_at_once, network.pixels_at_once = windows.WINDOW, 1 << 30
    image = torch.randn(1, windows.WINDOW, 3, size[1], size[0], device=torch_device)
    seconds = []
    autocast = torch.autocast(torch_device.type, dtype, enabled=dtype != torch.float32)
    with torch.inference_mode(), autocast, _peak(torch_device) as peak:
        for _ in range(repeats + 1):
            device.synchronize(torch_device)
            start = time.perf_counter()
            network(image)
            device.synchronize(torch_device)
            seconds.append(time.perf_counter() - start)
    each = statistics.median(seconds[1:]) / windows.STEP  # frames that a further window adds
    return {"network_ms": 1000 * each, "peak_bytes": peak[0]}


@contextmanager
def _peak(torch_device: torch.device) -> Iterator[list[int]]:
    """Peak bytes of the device's memory that this process holds while this lasts."""
    found, ended = [held_bytes(torch_device)], threading.Event()
    if torch_device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(torch_device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(torch_device)
        return

    def watch() -> None:
        while not ended.wait(0.02):
            found[0] = max(found[0], held_bytes(torch_device))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield found
    finally:
        ended.set()
        watching.join()


def _text(report: dict[str, Any]) -> Iterator[str]:
    work, size = report["work"], "x".join(map(str, report["size"]))
    yield (
        f"{NAME}: {report['frames']} frames, images of {size}; GFLOP a frame: encoder {work['encoder'] / 1e9:.0f}, "
        f"head {work['head'] / 1e9:.0f} in each window; as published {work['published'] / 1e9:.0f}"
    )
    if "gpus" in report:
        yield from (f"{gigabytes:2} GB {what}" for gigabytes, what in report["gpus"].items())
        return
    yield (
        f"{report['device']}, {report['precision']}, {report['weights']} weights, torch {report['torch']}; "
        f"{report['plan']}; a plain matrix product reaches {report['product_flops'] / 1e12:.2f} TFLOP/s"
    )
    own = report["own"]
    done = work["encoder"] + work["head"] * windows.WINDOW / windows.STEP
    floor = 1000 * done / report["product_flops"]
    yield (
        f"Fathom: {own['network_ms']:.1f} ms/frame in the network, {floor / own['network_ms']:.1%} of the floor; "
        f"{own['whole_ms']:.1f} ms/frame with loading, files and joining"
    )
    program = f", {report['program_bytes'] / 1e9:.2f} GB of it before" if report["program_bytes"] else ""
    yield f"peak {own['peak_bytes'] / 1e9:.2f} GB{program}; planned {report['planned_bytes'] / 1e9:.2f} GB"
    if plain := report.get("plain"):
        yield (
            f"plain forward pass: {plain['network_ms']:.1f} ms/frame, peak {plain['peak_bytes'] / 1e9:.2f} GB; Fathom "
            f"is {plain['network_ms'] / own['network_ms']:.2f} times as fast"
        )
