"""A Flamenco 3 job of planned clips: the job type for the Manager, and the job's settings as its API takes them.

The job type (``fathom-depth.js``) runs inside the Manager, which has no files, so the settings have the chunks'
numbers. Paths are settings of their own, and those of clips are relative to them: the Manager replaces the beginnings
of settings by its two-way variables, which is Flamenco's path mapping.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.untrusted import SURROGATE, in_a_line
from . import bundles
from .bundles import Bundle, clip_of, labels_of
from .planning import Plan

JOB_TYPE = "fathom-depth"
"""The job type's name, which is its file's."""
SCRIPT, JOB = f"{JOB_TYPE}.js", "job.json"


def write(bundle: Bundle, folder: Path) -> Path:
    """Write a job as a bundle, in the place of one of an earlier call; returns its folder.

    Raises
    ------
    Failure
        USAGE: a path has braces, or letters that are not UTF-8. BAD_OUTPUT: it cannot be written.
    """
    script = Path(__file__).with_name(SCRIPT).read_text(encoding="utf-8")
    job = json.dumps(_job(bundle), indent=2, ensure_ascii=False)
    return bundles.save(folder, {SCRIPT: script, JOB: f"{job}\n"}, main=JOB)


def _job(bundle: Bundle) -> dict[str, Any]:
    """A job as ``POST /api/v3/jobs`` takes it."""
    outputs = _root([plan.job.output for plan in bundle.plans])
    inputs = [path for plan in bundle.plans for path in (clip_of(plan), plan.job.mattes) if path]
    clips = _root(inputs)
    return {
        "name": bundle.name,
        "type": JOB_TYPE,
        "priority": 50,
        "submitter_platform": platform.system().lower(),
        "settings": {
            "python": bundle.python,
            "fathom": bundle.fathom,
            "outputs": outputs,
            "clips": clips,
            "chunks_per_task": 1,
            "task_type": "misc",
            "plans": json.dumps(
                [_clip(plan, label, outputs, clips) for plan, label in zip(bundle.plans, labels_of(bundle.plans))],
                ensure_ascii=False,
            ),
        },
        "metadata": {"fathom.frames": str(sum(plan.last_frame - plan.first_frame + 1 for plan in bundle.plans))},
    }


def _clip(plan: Plan, label: str, outputs: str, clips: str) -> dict[str, Any]:
    """A clip as the job type reads it."""
    return {
        "name": label,
        "output": _below(plan.job.output, outputs),
        "clip": _below(clip_of(plan), clips),
        "mattes": _below(plan.job.mattes, clips) if plan.job.mattes else "",
        "phases": [
            {"label": phase.label, "chunks": list(_ranges(plan, index))} for index, phase in enumerate(plan.phases)
        ],
    }


def _ranges(plan: Plan, phase: int) -> list[tuple[int, int, int]]:
    """The first and last chunk of each shot in a phase, and the frame that the shot begins with."""
    own = [(number, chunk.first_frame) for number, chunk in enumerate(plan.chunks) if chunk.phase == phase]
    found = []
    for shot, group in groupby(own, lambda each: each[1]):
        numbers = [number for number, _ in group]
        found.append((numbers[0], numbers[-1], shot))
    return found


def _root(paths: Sequence[str]) -> str:
    """The folder that all paths lie in; empty where there is none but a whole disk, or not even that."""
    try:
        root = Path(os.path.commonpath([Path(path).parent for path in paths]))
    except ValueError:
        return ""
    return "" if root == root.parent else str(root)


def _below(path: str, root: str) -> str:
    """A path relative to the root, with slashes."""
    if "{" in path or "}" in path:
        what = f"{in_a_line(path)} contains braces, which Flamenco takes for variables."
        raise Failure(exit_codes.USAGE, what, hint="Rename it.")
    if SURROGATE.search(path):
        what = f"{in_a_line(path)} contains letters that are not UTF-8, which a job of Flamenco's cannot have."
        raise Failure(exit_codes.USAGE, what, hint="Rename it.")
    return Path(path).relative_to(root).as_posix() if root else path
