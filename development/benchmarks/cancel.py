"""How long cancelling takes: from the request until the worker and all its children are gone.

Run as ``python3 dev.py benchmark cancel CLIP [--repeats N]``. It should be below one second.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from inference.contract import client, events
from inference.contract.job import Job
from inference.media.source import describe


def measure(clip: Path, after: float) -> tuple[float, str, int]:
    """Cancel a run `after` seconds; return the seconds it took, the stage, and the number of processes that ended."""
    stage = "starting"
    with tempfile.TemporaryDirectory() as folder:
        steps = client.estimate(Job(source=describe(clip), output=folder), python=sys.executable)
        begun = time.monotonic()
        while time.monotonic() - begun < after:
            for event in next(steps):
                if isinstance(event, events.Stage):
                    stage = event.label
        family = psutil.Process().children(recursive=True)
        asked = time.monotonic()
        steps.send(True)
        for _ in steps:
            pass
        psutil.wait_procs(family)
        return time.monotonic() - asked, stage, len(family)


def main() -> None:
    """Cancel at random moments and print the seconds."""
    parser = argparse.ArgumentParser(prog="cancel", description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--repeats", type=int, default=10, help="how many runs are cancelled (10)")
    settings = parser.parse_args()
    moments = random.Random(0)
    took = []
    for _ in range(settings.repeats):
        seconds, stage, processes = measure(settings.clip, moments.uniform(0.2, 40.0))
        took.append(seconds)
        print(f"{seconds:.2f} s, {processes} processes, while: {stage}")
    print(f"longest {max(took):.2f} s, mean {sum(took) / len(took):.2f} s")


if __name__ == "__main__":
    main()
