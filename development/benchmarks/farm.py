#!/usr/bin/env python3
"""What dividing a job in chunks costs, and what several computers gain: plan, chunks and merge against one process.

    python3 dev.py benchmark farm parallax --frames 200
    python3 dev.py benchmark farm video_depth_anything --frames 200 --workers 2 --chunk-seconds 60
    python3 dev.py benchmark farm parallax --frames 24 --only-chunks

The clip is a synthetic dolly shot, and a network has random weights of the released size, by the tests' worker, which
reads the weights in every process, also in those that plan and merge.
Every process has one thread and one core. Prints the processor time of all processes against that of one, the speed-up
of the workers over the phases that are divided and end to end, by the clock and by processor time alone (which a
computer that is busy with other things does not spoil), and by calculation the time of 10,000 frames on 100 computers.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from development.benchmarks.parallax import FOCAL, Dolly

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = "full"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
FRAMES, COMPUTERS = 10_000, 100
"""Of the calculation."""


@dataclass
class Cost:
    """Seconds of a process: by the clock, and of the processor, its children included."""

    clock: float = 0.0
    processor: float = 0.0


@dataclass
class Phase:
    """A phase's chunks, each with its cost, and the worker that did it."""

    name: str
    label: str
    chunks: list[int]
    costs: dict[int, tuple[int, Cost]] = field(default_factory=dict)
    clock: float = 0.0

    @property
    def processor(self) -> float:
        return sum(cost.processor for _, cost in self.costs.values())

    def longest(self, workers: int) -> float:
        """Processor time of the worker that has most, so of the phase where each has a core of its own."""
        return max(sum(cost.processor for at, cost in self.costs.values() if at == worker) for worker in range(workers))


class Worker:
    """Runs the command line in processes of one thread."""

    def __init__(self, folder: Path, cores: list[int], weights: Path | None) -> None:
        self._program = ROOT / ("tests/inference/support/worker.py" if weights else "inference/__main__.py")
        self._cores = cores
        self._environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "FATHOM_HOME": str(folder / "home")}
        if weights:
            self._environment |= {"FATHOM_TEST_VIDEO_DEPTH": str(weights), "FATHOM_WEIGHTS": str(weights)}

    def __call__(self, *arguments: object, worker: int = 0) -> tuple[str, Cost]:
        """Run a verb on the core of a worker; its output and cost."""
        core = self._cores[worker % len(self._cores)]
        pinned = ["taskset", "-c", str(core)] if shutil.which("taskset") else []
        command = [*pinned, sys.executable, "-I", "-u", str(self._program), *map(str, arguments)]
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdout=said, stderr=errors, env=self._environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            clock = time.perf_counter() - begun
            for each in (said, errors):
                each.seek(0)
            if process.returncode:
                raise SystemExit(errors.read().decode(errors="replace"))
            return said.read().decode(), Cost(clock, usage.ru_utime + usage.ru_stime)


def make_clip(folder: Path, count: int, size: tuple[int, int]) -> Path:
    frames = Dolly(count=count, width=size[0], height=size[1])
    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"dolly.{index + 1:04d}.png"), cv2.cvtColor(frames[index], cv2.COLOR_RGB2BGR))
    return folder


def do_chunks(run: Worker, output: Path, phases: list[Phase], workers: int) -> None:
    """Each phase's chunks by so many workers, each of which takes the next one that is left."""
    for phase in phases:
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in phase.chunks:
            waiting.put(number)
        begun = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            for each in [pool.submit(_work, run, output, phase, waiting, worker) for worker in range(workers)]:
                each.result()
        phase.clock = time.perf_counter() - begun


def _work(run: Worker, output: Path, phase: Phase, waiting: queue.SimpleQueue[int], worker: int) -> None:
    while True:
        try:
            number = waiting.get_nowait()
        except queue.Empty:
            return
        _, cost = run("estimate", "--planned", output, "--chunks", number, worker=worker)
        phase.costs[number] = (worker, cost)


def report(options: argparse.Namespace, one: Cost | None, plan: Cost, phases: list[Phase], merge: Cost) -> None:
    count = sum(len(phase.chunks) for phase in phases)
    load = os.getloadavg()
    print(f"{options.estimator}, {options.frames} frames of {options.width}x{options.height}, {count} chunks")
    print(f"  load of the computer: {load[0]:.1f} (1 min), {load[2]:.1f} (15 min), {os.cpu_count()} cores")
    print(f"  plan          {plan.processor:8.1f} s of the processor, {plan.clock:8.1f} s by the clock")
    for phase in phases:
        print(
            f"  {phase.label[:28]:28s} {len(phase.chunks):3d} chunks {phase.processor:8.1f} s of the processor, "
            f"{phase.clock:8.1f} s by the clock, the busiest worker {phase.longest(options.workers):.1f} s"
        )
    print(f"  merge         {merge.processor:8.1f} s of the processor, {merge.clock:8.1f} s by the clock")
    whole = plan.processor + merge.processor + sum(phase.processor for phase in phases)
    divided = [phase for phase in phases if len(phase.chunks) > 1]
    alone = sum(phase.processor for phase in divided)
    together = sum(phase.longest(options.workers) for phase in divided)
    serial = whole - alone
    if one is not None:
        clock, end = plan.clock + merge.clock + sum(phase.clock for phase in phases), serial + together
        print(f"  one process   {one.processor:8.1f} s of the processor, {one.clock:8.1f} s by the clock")
        print(f"  in chunks     {whole:8.1f} s of the processor: {whole / one.processor:.3f} times one process")
        print(
            f"  end to end with {options.workers} workers: {one.processor / end:.2f} times as fast by processor time, "
            f"{one.clock / clock:.2f} by the clock; serial {serial:.1f} s of {end:.1f} s"
        )
    if together:
        print(f"  divided phases: {options.workers} workers are {alone / together:.2f} times as fast as one")
        hours = FRAMES / options.frames / 3600
        print(
            f"  by calculation, {FRAMES} frames of one shot on {COMPUTERS} such cores: divided phases "
            f"{alone * hours / COMPUTERS:.2f} h instead of {alone * hours:.1f} h, all else {serial * hours:.2f} h"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("estimator", choices=("parallax", "quick", "video_depth_anything"))
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--workers", type=int, default=2)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--chunk-seconds", type=float)
    size.add_argument("--chunk-frames", type=int)
    parser.add_argument("--only-chunks", action="store_true", help="without the run of one process")
    parser.add_argument("--parameter", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fathom-benchmark-") as name:
        folder = Path(name)
        clip = make_clip(folder / "clip", options.frames, (options.width, options.height))
        weights = None
        if options.estimator == "video_depth_anything":
            from tests.inference.support import tiny_video_depth

            weights = tiny_video_depth.write(folder / "weights", released_size=True)
        cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
        )
        run = Worker(folder, cores, weights)
        more = ["--estimator", options.estimator]
        more += ["--focal-length", f"{FOCAL * options.width:g}px"] if options.estimator == "parallax" else []
        more += [part for each in options.parameter for part in ("--parameter", each)]
        short = make_clip(folder / "short", 24, (options.width, options.height))
        run("estimate", short, "--output", folder / "first", *more)  # compiles, and checks the weights
        one = None
        if not options.only_chunks:
            _, one = run("estimate", clip, "--output", folder / "one", *more)
        output = folder / "planned"
        if options.chunk_seconds:
            more += ["--chunk-seconds", f"{options.chunk_seconds:g}"]
        if options.chunk_frames:
            more += ["--chunk-frames", str(options.chunk_frames)]
        said, plan = run("plan", clip, "--output", output, "--json", *more)
        chunks: list[dict[str, Any]] = json.loads(said)["chunks"]
        phases = []
        for _, group in groupby(chunks, lambda chunk: chunk["phase"]):
            own = list(group)
            phases.append(Phase(own[0]["name"], own[0]["label"], [chunk["number"] for chunk in own]))
        do_chunks(run, output, phases, options.workers)
        _, merge = run("merge", output)
        report(options, one, plan, phases, merge)
        if one is not None:
            maps = list((folder / "one").glob("*.exr"))
            same = sum((output / path.name).read_bytes() == path.read_bytes() for path in maps)
            print(f"  {same} of {len(maps)} maps are equal to one process's, bit for bit")


if __name__ == "__main__":
    main()
