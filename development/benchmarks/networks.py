"""Time, memory and work of the estimators that are networks.

    python3 dev.py benchmark networks depthcrafter --random-weights --plain
    python3 dev.py benchmark networks stereodiff --random-weights --memory-limit 12
    python3 dev.py benchmark networks depthcrafter --count --size 768x448
    python3 dev.py benchmark networks video_depth_anything --random-weights --plain

The estimator itself runs on random images, and its stages are timed. Random networks have the released sizes; time and
memory do not depend on the weights' values. With --count nothing runs: the work, and the memory on GPUs of common
sizes, come from a dry run. Without an estimator, all are counted.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import pkgutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import psutil
import torch
from torch import Tensor

from inference.common import failures
from inference.common.failures import Failure
from inference.contract import exit_codes, hints
from inference.contract.catalogue import Parameter
from inference.estimators import registry, requirements
from inference.estimators.base import Shot
from inference.estimators.depthcrafter import streaming
from inference.video_diffusion import device, dry_run, loading, memory, resolution, stages, windows
from inference.video_diffusion.dry_run import META
from inference.video_diffusion.execution.forward import OWN, PLAIN, Forward
from inference.video_diffusion.execution.plan import Plan
from inference.video_diffusion.networks import RELEASED, Networks, fill_randomly, random_networks
from inference.video_diffusion.placement import Placement
from inference.video_diffusion.stages import ENCODE_GRID

PACKAGES = "full"
GPUS = (4, 6, 8, 12, 16, 24)
"""Gigabytes (1e9 bytes) of common GPUs."""
_FIRST = 16
"""Frames of the first run, which loads the networks and is not measured."""
_ROOM = 8e9
"""Free bytes of a GPU above which random weights are made on it, which is much faster."""


class Row(NamedTuple):
    """A stage: its functions (in ``inference``) and its part of the memory plan; `single`: float32 in any case."""

    title: str
    functions: str
    planned: memory.Stage | None = None
    single: bool = False


_CLIP = Row("CLIP", "video_diffusion.stages.embed")
_ENCODE = Row("VAE encode", "video_diffusion.stages.encode", "encode", single=True)
_DECODE = Row("decode", "video_diffusion.stages.decode", "decode")
_STAGE1, _STAGE2 = "estimators.stereodiff.stage1", "estimators.stereodiff.stage2"
ROWS = {
    "depthcrafter": {
        "clip": _CLIP,
        "encode": _ENCODE,
        "denoise": Row("denoise", "video_diffusion.stages.denoise", "denoise"),
        "decode": _DECODE,
    },
    "stereodiff": {
        "frames": Row("encode frames", f"{_STAGE1}.network.PairNetwork.encode", single=True),
        "pairs": Row("decode pairs", f"{_STAGE1}.network.PairNetwork.decode {_STAGE1}.matching.packed", single=True),
        "align": Row("align", f"{_STAGE1}.joining.join {_STAGE1}.result.MatchedPrior.disparity"),
        "clip": _CLIP,
        "encode": _ENCODE,
        "prior": Row("VAE encode, prior", f"{_STAGE2}.refinement.encode_prior", "encode", single=True),
        "refine": Row("UNet", f"{_STAGE2}.refinement.refine", "denoise"),
        "decode": _DECODE,
    },
}
SIZES = {"depthcrafter": "1024x576", "stereodiff": "640x480"}


@dataclass(frozen=True)
class Task:
    """The estimate to measure.

    `networks` has the constructor arguments of random networks by part, ``pair`` being stereodiff's pair network;
    empty: the released ones'.
    """

    estimator: str
    width: int
    height: int
    frames: int
    parameters: dict[str, Any]
    networks: dict[str, Any]

    @property
    def passes(self) -> float:
        """Mean number of passes of a frame through the UNet in each step: frames that windows share count twice."""
        cut = windows.segments(self.frames, self.parameters["window"], self.parameters["overlap"])
        return sum(map(len, cut)) / self.frames

    def diffusion(self, torch_device: torch.device, dtype: torch.dtype = torch.float16) -> Networks:
        """Random networks of Stable Video Diffusion."""
        config = {part: sizes for part, sizes in self.networks.items() if part != "pair"}
        return random_networks(config=config or None, device=torch_device, dtype=dtype)

    def pair_network(self, torch_device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
        """A random network of stereodiff's first stage."""
        from inference.estimators.stereodiff.stage1 import checkpoint_file, network

        with META:
            made = network.PairNetwork(**self.networks.get("pair", {}))
        if torch_device != META:
            fill_randomly(made, torch.Generator(torch_device).manual_seed(0), torch.float32)
        return checkpoint_file.prepared(made, dtype)

    def case(self, kind: str, dtype: torch.dtype) -> memory.Case:
        """The memory planner's case on a kind of device."""
        width, height = resolution.network_size(self.width, self.height)
        window, chunk = (min(self.parameters[name], self.frames) for name in ("window", "decode_chunk"))
        guided = self.parameters.get("guidance", 1) > 1
        networks = self.diffusion(META, dtype)
        return memory.Case(
            networks=networks, width=width, height=height, window=window, decode_chunk=chunk, guided=guided, kind=kind
        )


def work(task: Task, forward: Forward) -> dict[str, float]:
    """Floating-point operations per frame by row, except for rows that are not network passes."""
    case = task.case("cuda", torch.float16)
    networks, height, width = case.networks, case.height, case.width
    common: dict[str, Any] = {"device": META, "attempt": lambda run: run(Plan()), "forward": forward}

    def blank(*shape: int) -> Tensor:
        return torch.empty(shape, device=META)

    images, latents = blank(ENCODE_GRID, 3, height, width), blank(case.window, 4, height // 8, width // 8)
    encoded = stages.Encoded(latents, blank(case.window, networks.image_encoder.config.projection_dim))
    step = common | {"steps": 1, "guidance": 1.0, "noise_augmentation": 0.0}
    clip = dry_run.flops(lambda: stages.embed(networks.image_encoder, images)) / ENCODE_GRID
    encode = dry_run.flops(lambda: stages.encode(networks, images, images, **common)) / ENCODE_GRID - clip
    denoise = dry_run.flops(lambda: stages.denoise(networks, latents, encoded, **step)) / case.window
    decode = dry_run.flops(lambda: stages.decode(networks, latents[: case.decode_chunk], **common)) / case.decode_chunk
    if task.estimator == "depthcrafter":
        often = task.passes * task.parameters["steps"] * (2 if case.guided else 1)
        return {"clip": clip, "encode": encode, "denoise": denoise * often, "decode": decode}

    from inference.estimators.stereodiff.stage1 import matching, pairs
    from inference.estimators.stereodiff.stage2 import refinement

    width, height = matching.image_size(task.width, task.height)
    pair, image, maps = task.pair_network(META), blank(1, 3, height, width), blank(ENCODE_GRID, height, width)
    prior = common | {"size": (case.width, case.height), "resize": "nearest"}
    with torch.inference_mode():
        states = pair.encode(image)
        look = dry_run.flops(lambda: pair.decode(states, states, height, width))
        return {
            "frames": dry_run.flops(lambda: pair.encode(image)),
            "pairs": look * len(pairs.pairs(task.frames, task.parameters["reach"])) / task.frames,
            "clip": clip,
            "encode": encode,
            "prior": dry_run.flops(lambda: refinement.encode_prior(networks, maps, **prior)) / ENCODE_GRID,
            "refine": denoise * task.passes,
            "decode": decode * task.passes,
        }


def needed(task: Task, gigabytes: float) -> list[tuple[str, float]]:
    """The plan of each part of an estimator on a GPU of that size, in words, and the bytes that it needs."""
    found, room = [], gigabytes * 1e9 - device.CUDA_CONTEXT
    if task.estimator == "stereodiff":
        from inference.estimators.stereodiff.stage1 import batches, matching
        from inference.estimators.stereodiff.stage1 import memory as pair_memory

        dtype, size = batches.dtype_of(task.parameters["precision"]), matching.image_size(task.width, task.height)
        least = functools.partial(pair_memory.needed_bytes, task.pair_network(META, dtype), size, dtype=dtype)
        sizes = {batch: least(batch, kind="cuda") for batch in pair_memory.BATCHES}
        batch = next((batch for batch, size in sizes.items() if size <= room), None)
        words = f"{batch} pair{'s' * (batch > 1)} at once" if batch else "nothing fits"
        found.append((words, sizes[batch or 1] + device.CUDA_CONTEXT))
    case = task.case("cuda", device.PRECISIONS.get(task.parameters["precision"], torch.float16))
    try:
        plan = memory.choose_plan(case, int(room))
        words = described(plan)
    except Failure:
        plan, words = memory.smallest(case), "nothing fits"
    return [*found, (words, memory.peak_bytes(case, plan) + device.CUDA_CONTEXT)]


@contextmanager
def random_weights(task: Task) -> Iterator[None]:
    """Replace an estimator's downloaded networks with random ones."""
    torch_device, _ = device.choose(task.parameters["device"], task.parameters["precision"])
    where = torch_device if device.free_bytes(torch_device) > _ROOM else torch.device("cpu")
    loading.forget()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(loading, "load", lambda *folders, dtype: task.diffusion(where, dtype)))
        if task.estimator == "stereodiff":
            from inference.estimators.stereodiff.stage1 import batches, checkpoint_file
            from inference.estimators.stereodiff.stage1.pair_store import PairStore

            batches.forget()
            add = PairStore.add

            def add_walls(store: PairStore, chosen: Any, views: Tensor, *others: Tensor) -> None:
                """Random weights find no scene to align, so views of a synthetic one are stored."""
                walls = [_wall(views.shape[2], views.shape[1], second - first) for first, second in chosen]
                add(store, chosen, *(torch.cat(each) for each in zip(*walls)))

            made = functools.partial(task.pair_network, where)
            stack.enter_context(mock.patch.object(checkpoint_file, "load", lambda folder, dtype: made(dtype)))
            stack.enter_context(mock.patch.object(PairStore, "add", add_walls))
            stack.callback(batches.forget)
        yield
    loading.forget()


@functools.cache
def _wall(width: int, height: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stored views of a wavy wall for a pair of frames `steps` apart, in a unit of its own, with noise."""
    from inference.estimators.stereodiff.stage1.pair_store import packed

    generator = torch.Generator().manual_seed(steps & 255)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    rays = torch.stack([x, y * height / width, torch.ones_like(x)], dim=-1)
    unit, views = 0.5 + torch.rand((), generator=generator), []
    for apart in (0.0, 0.05 * steps):
        depth = (3 + torch.sin(4 * x + apart) * torch.cos(3 * y))[..., None]
        noise = 1 + 0.01 * torch.randn(height, width, 1, generator=generator)
        views.append(unit * noise * (rays * depth + torch.tensor([apart, 0.0, 0.0]))[None])
        views.append(1 + torch.exp(1 + torch.randn(1, height, width, generator=generator) / 2))
    return packed(*views)


class Stopwatch:
    """Seconds and peak bytes of the rows' functions, while it is entered; time of nested rows is not counted twice.

    The device is synchronized around each function, so concurrent copies are not hidden. `latents` are the denoised
    ones.
    """

    def __init__(self, rows: dict[str, Row], torch_device: torch.device) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(rows, 0.0)
        self.peaks: Counter[str] = Counter()
        self.latents: list[Tensor] = []
        self._rows, self._device, self._stack = rows, torch_device, ExitStack()
        self._row, self._inner = "", 0.0

    def __enter__(self) -> Stopwatch:
        for name, row in self._rows.items():
            for target in (f"inference.{function}" for function in row.functions.split()):
                self._stack.enter_context(mock.patch(target, self._timed(name, pkgutil.resolve_name(target))))
        if self._device.type != "cuda":  # CUDA records its peak itself
            ended = threading.Event()
            watching = threading.Thread(target=self._watch, args=(ended,), daemon=True)
            watching.start()
            self._stack.callback(watching.join)
            self._stack.callback(ended.set)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _timed(self, row: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if META in (getattr(each, "device", None) for each in arguments) or named.get("device") == META:
                return function(*arguments, **named)  # the memory planner's dry run
            outer, before = self._row, self._inner
            self._row, self._inner = outer or row, 0.0
            if self._device.type == "cuda" and not outer:
                torch.cuda.reset_peak_memory_stats(self._device)
            device.synchronize(self._device)
            start = time.perf_counter()
            result = function(*arguments, **named)
            device.synchronize(self._device)
            took = time.perf_counter() - start
            if self._device.type == "cuda" and not outer:
                self.peaks[row] = max(self.peaks[row], torch.cuda.max_memory_allocated(self._device))
            self.seconds[row] += took - self._inner
            self._row, self._inner = outer, before + took
            self.latents += [result] if row == "denoise" else []
            return result

        return timed

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(0.02):
            if row := self._row:
                self.peaks[row] = max(self.peaks[row], held_bytes(self._device))


def held_bytes(torch_device: torch.device) -> int:
    """Bytes that this process holds of the device's memory."""
    if torch_device.type == "cuda":
        return torch.cuda.memory_allocated(torch_device)
    return torch.mps.driver_allocated_memory() if torch_device.type == "mps" else psutil.Process().memory_info().rss


class Images:
    """A clip of a few random images, repeated; see `estimators.base.Frames`."""

    def __init__(self, width: int, height: int, count: int) -> None:
        self.width, self.height, self.numbers = width, height, range(1, count + 1)
        coarse = np.random.default_rng(0).integers(0, 256, (ENCODE_GRID, 9, 16, 3), np.uint8)
        self._few = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._few[index % len(self._few)]


def measure(
    task: Task, torch_device: torch.device, repeats: int, estimate: Callable[[Shot], object]
) -> tuple[dict[str, Any], list[Tensor], list[np.ndarray]]:
    """The figures, with the median time of the repeats after a first run; and the last run's latents and maps."""

    def run(count: int) -> tuple[Stopwatch, float, list[np.ndarray]]:
        maps: list[np.ndarray] = []
        with tempfile.TemporaryDirectory() as scratch, Stopwatch(ROWS[task.estimator], torch_device) as watch:
            shot = Shot(
                frames=Images(task.width, task.height, count),
                parameters=task.parameters,
                seed=0,
                camera=None,
                mattes=None,
                scratch=Path(scratch),
                finished=frozenset(),
                write=lambda index, disparity, confidence=None: maps.append(disparity),
                progress=lambda stage, label, done, total: None,
                check=lambda: None,
                warn=log,
            )
            start = time.perf_counter()
            estimate(shot)
            return watch, time.perf_counter() - start, maps

    window = min(task.parameters["window"], task.frames)
    _, first, _ = run(window if task.parameters["compile"] else min(window, _FIRST))  # compilation needs a whole window
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: Counter[str] = Counter()
    for _ in range(repeats):
        watch, whole, maps = run(task.frames)
        peaks |= watch.peaks
        for name, took in (watch.seconds | {"whole": whole}).items():
            seconds[name].append(took)
    each = {name: 1000 * statistics.median(took) / task.frames for name, took in seconds.items()}
    whole = each.pop("whole")
    times = {"ms_per_frame": each | {"all": sum(each.values())}, "whole_ms_per_frame": whole, "first_seconds": first}
    return times | {"peak_bytes": peaks}, watch.latents, maps


def measured(task: Task, repeats: int, *, random: bool, plain: bool) -> dict[str, Any]:
    """Measure an estimator and, if `plain`, the same stages in diffusers' own modules.

    Raises
    ------
    Failure
        Weights, packages or the device are missing; there is too little memory; values overflow.
    """
    torch_device, dtype = device.choose(task.parameters["device"], task.parameters["precision"])
    if not random:
        requirements.require(registry.info(task.estimator))
    program, place_networks, placements = held_bytes(torch_device), loading.placement, list[Placement]()

    def placement(*arguments: Any, **named: Any) -> Placement:
        placements.append(place_networks(*arguments, **named))
        return placements[-1]

    def stock(shot: Shot) -> None:
        whole = Placement(placements[0].networks, torch_device, Plan(), smaller=lambda plan: None, warn=log)
        streaming.Stream(shot, streaming.Settings(**task.parameters), whole, PLAIN).run()

    other, psnr = None, None
    with ExitStack() as stack:
        if random:
            stack.enter_context(random_weights(task))
        stack.enter_context(mock.patch.object(loading, "placement", placement))
        log("Measuring Fathom")
        own, latents, maps = measure(task, torch_device, repeats, registry.function(task.estimator))
        if plain:
            log("Measuring diffusers' stock modules")
            for weight in (each for module in placements[0].networks.modules for each in module.parameters()):
                weight.data = weight.data.contiguous()  # as diffusers loads them
            try:
                other, its_latents, its_maps = measure(task, torch_device, repeats, stock)
                psnr = {"latents": decibels(latents, its_latents), "disparity": decibels(maps, its_maps, peak=1.0)}
            except Failure as failure:
                log(f"diffusers' stock modules could not be measured. {failure}")
    plan, half = placements[-1].plan, str(dtype).removeprefix("torch.")
    stages_need = memory.needed_bytes(task.case(torch_device.type, dtype), plan)
    return _facts(task) | {
        "device": device.name(torch_device) if torch_device.type != "cpu" else f"{os.cpu_count()} CPU cores",
        "precision": half,
        "weights": "random" if random else "released",
        "plan": asdict(plan),
        "program_bytes": program if torch_device.type == "cpu" else 0,
        "planned_bytes": {name: stages_need[row.planned] for name, row in ROWS[task.estimator].items() if row.planned},
        "product_flops": {each: product_flops(torch_device, getattr(torch, each)) for each in {half, "float32"}},
        "own": own,
        "plain": other,
        "psnr": psnr,
    }


def counted(task: Task) -> dict[str, Any]:
    """Work, and memory on GPUs of common sizes, without running anything."""
    return _facts(task) | {"gpus": {size: needed(task, size) for size in GPUS}}


def _facts(task: Task) -> dict[str, Any]:
    both = {"own": work(task, OWN), "stock": work(task, PLAIN)}
    return asdict(task) | {"torch": torch.__version__, "passes": task.passes, "work": both}


def product_flops(torch_device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a plain matrix product, the reference for the floor; GPUs round float32 to TF32."""
    side, batch = {"cuda": (8192, 10), "mps": (4096, 1)}.get(torch_device.type, (1024, 1))
    left, right = (torch.randn(side, side, device=torch_device).to(dtype) for _ in range(2))
    seconds = []
    with device.tensor_float(True):
        for _ in range(8):
            device.synchronize(torch_device)
            start = time.perf_counter()
            for _ in range(batch):
                left @ right
            device.synchronize(torch_device)
            seconds.append((time.perf_counter() - start) / batch)
    return 2 * side**3 / statistics.median(seconds[2:])


def decibels(first: list[Any], second: list[Any], *, peak: float | None = None) -> float | None:
    """Peak signal-to-noise ratio, by default to the range of the second; None where both are equal, or not finite."""
    one, other = (np.concatenate([np.asarray(each, np.float64) for each in values]) for values in (first, second))
    error = float(np.square(one - other).mean())
    return 10 * math.log10((peak or float(np.ptp(other))) ** 2 / error) if error and math.isfinite(error) else None


def described(plan: Plan) -> str:
    """A memory plan in words."""
    words = {
        f"UNet by {plan.frames} frames": plan.frames is not None,
        f"decoder by {plan.decoder_rows} rows": plan.decoder_rows is not None,
        f"encoder by {plan.encode_frames} frames": plan.encode_frames < ENCODE_GRID,
        "each network on the GPU only while it is used": plan.networks_on_host,
        "skip connections in host memory": plan.skips_on_host,
        "the UNet layer by layer": plan.blocks_on_host,
        "compiled": plan.compiled,
    }
    return ", ".join(word for word, holds in words.items() if holds) or "everything at once"


def measured_text(report: dict[str, Any]) -> str:
    """A measurement as text."""
    lines = [
        f"{report['estimator']} on {report['device']}, {report['precision']}, {report['weights']} weights, "
        f"torch {report['torch']}",
        _task_text(report),
        f"plan: {described(Plan(**report['plan']))}",
        *(
            f"a plain matrix product reaches {each / 1e12:.2f} TFLOP/s in {name}"
            for name, each in report["product_flops"].items()
        ),
        *_table("Fathom", report["own"], report["work"]["own"], report),
    ]
    if report["plain"]:
        ratio = report["plain"]["ms_per_frame"]["all"] / report["own"]["ms_per_frame"]["all"]
        psnr = (f"{what} {f'{value:.1f} dB' if value else 'equal'}" for what, value in report["psnr"].items())
        lines += _table("diffusers", report["plain"], report["work"]["stock"], report)
        lines += ["", f"{ratio:.2f} times as fast as diffusers' stock modules; PSNR to theirs: {', '.join(psnr)}"]
    return "\n".join(lines)


def _table(who: str, found: dict[str, Any], flop: dict[str, float], report: dict[str, Any]) -> Iterator[str]:
    """Lines of a table; the floor is the time of the same work at the speed of a plain matrix product."""
    rows, pace = ROWS[report["estimator"]], report["product_flops"]
    floor = {name: 1000 * flop[name] / pace["float32" if rows[name].single else report["precision"]] for name in flop}
    flop, floor = flop | {"all": sum(flop.values())}, floor | {"all": sum(floor.values())}
    yield ""
    yield f"{who:20} {'ms/frame':>9} {'TFLOP/frame':>12} {'of floor':>9} {'peak GB':>8} {'planned':>8}"
    for name, took in found["ms_per_frame"].items():
        done, share = (f"{flop[name] / 1e12:.2f}", f"{floor[name] / took:.1%}") if name in flop and took else ("-", "-")
        sizes = found["peak_bytes"].get(name, 0) - report["program_bytes"], report["planned_bytes"].get(name, 0)
        peak, planned = (f"{size / 1e9:.2f}" if size > 0 else "" for size in sizes)
        title = rows[name].title if name in rows else name
        yield f"{title:20} {took:9.1f} {done:>12} {share:>9} {peak:>8} {planned:>8}".rstrip()
    compiling = " and compiling" * report["plan"]["compiled"]
    yield (
        f"{found['whole_ms_per_frame']:.1f} ms/frame with planning, files and copies; "
        f"first run, with loading{compiling}: {found['first_seconds']:.1f} s"
    )


def counted_text(report: dict[str, Any]) -> str:
    """The counts as text."""
    rows, own, stock = ROWS[report["estimator"]], report["work"]["own"], report["work"]["stock"]
    lines = [f"{report['estimator']}: {_task_text(report)}", "", f"{'TFLOP for a frame':20} {'stock':>8} {'own':>8}"]
    lines += [f"{rows[name].title:20} {stock[name] / 1e12:8.2f} {own[name] / 1e12:8.2f}" for name in own]
    lines += [f"{'all':20} {sum(stock.values()) / 1e12:8.2f} {sum(own.values()) / 1e12:8.2f}", "", "GPU      needs"]
    for size, parts in report["gpus"].items():
        lines += [f"{size:2} GB {size_needed / 1e9:5.1f} GB  {what}" for what, size_needed in parts]
    return "\n".join(lines)


def _task_text(report: dict[str, Any]) -> str:
    parameters, frames = report["parameters"], report["frames"]
    shared = f" that share {parameters['overlap']}, {report['passes']:.2f} passes a frame"
    cut = f"windows of {min(parameters['window'], frames)}{shared * (frames > parameters['window'])}"
    more = (f"{name} {parameters[name]:g}" for name in ("steps", "guidance", "reach") if name in parameters)
    return f"{frames} frames of {report['width']}x{report['height']} in {', '.join([cut, *more])}"


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The options of an estimator on Stable Video Diffusion's networks."""
    parser = shared_parser(name, size=SIZES[name], frames=110)
    parser.add_argument("--networks", type=Path, metavar="FILE", help="JSON with constructor arguments of random ones")
    parser.set_defaults(overlap=None)
    return parser


def shared_parser(name: str, *, size: str, frames: int) -> argparse.ArgumentParser:
    """The options: what is measured and how, and the estimator's own parameters."""
    parser = argparse.ArgumentParser(prog=f"networks {name}", description=__doc__.splitlines()[0])
    parser.add_argument("--random-weights", action="store_true", help="random weights, so that none are needed")
    parser.add_argument("--size", type=_size, default=size, metavar="WxH", help="of the clip")
    parser.add_argument("--frames", type=_count, default=frames, help=f"length of the clip (default: {frames})")
    parser.add_argument("--repeats", type=_count, default=3, help="runs, of which the median counts (default: 3)")
    parser.add_argument("--plain", action="store_true", help="measure the published forward passes as well")
    parser.add_argument("--count", action="store_true", help="count work and memory by a dry run, and run nothing")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    for parameter in registry.info(name).parameters:
        if parameter.depth_sequence or parameter.name == "stage":
            continue
        kind: dict[str, Any] = {"type": _type(parameter), "choices": parameter.choices or None}
        if isinstance(parameter.default, bool):
            kind = {"action": argparse.BooleanOptionalAction}
        elif parameter.name == "device":  # it may be cuda:1
            kind = {}
        option = f"--{parameter.name.replace('_', '-')}"
        parser.add_argument(option, default=parameter.default, help=parameter.description, **kind)
    return parser


def _size(text: str) -> tuple[int, int]:
    width, height = map(_count, text.lower().split("x"))
    return width, height


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _type(parameter: Parameter) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        found = type(parameter.default)(text)
        least, most = parameter.minimum, parameter.maximum
        if (least is not None and not found >= least) or (most is not None and not found <= most):
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return found

    return value


def report_of(name: str, arguments: list[str]) -> str:
    """Measure or count one estimator; returns what is printed. Errors as for `measured`; wrong options exit."""
    options = parser_of(name).parse_args(arguments)
    if options.overlap is None:
        options.overlap = min(25, options.window // 4)
    defaults = {parameter.name: parameter.default for parameter in registry.info(name).parameters}
    networks = json.loads(options.networks.read_text(encoding="utf-8")) if options.networks else {}
    parts = {*RELEASED, *(["pair"] if name == "stereodiff" else [])}
    if networks and not parts <= set(networks):
        raise Failure(exit_codes.USAGE, f"{options.networks} must hold {', '.join(sorted(parts))}.")
    task = Task(
        name, *options.size, options.frames, {key: getattr(options, key, defaults[key]) for key in defaults}, networks
    )
    if options.count:
        report, text = counted(task), counted_text
    else:
        random, plain = options.random_weights or bool(networks), options.plain and name == "depthcrafter"
        report, text = measured(task, options.repeats, random=random, plain=plain), measured_text
    return json.dumps(report, indent=2) if options.json else text(report)


def main(arguments: list[str]) -> int:
    """The command line; an exit status."""
    from development.benchmarks import window_network  # it shares what this module measures with

    reports = {name: functools.partial(report_of, name) for name in ROWS}
    reports[window_network.NAME] = window_network.report_of
    if arguments and arguments[0] not in reports:
        log(f"usage: networks [{'|'.join(reports)}] [options; ESTIMATOR --help lists them]")
        return exit_codes.USAGE
    try:
        for name, *options in [arguments] if arguments else [[name, "--count"] for name in reports]:
            print(reports[name](options))
    except (Failure, OSError, ValueError) as error:
        event = failures.explain(error)
        settings = {"size", *(parameter.name for name in reports for parameter in registry.info(name).parameters)}
        log(hints.as_options(event.message, settings))
        return event.code
    return exit_codes.OK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
