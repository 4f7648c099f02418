"""An Open Job Description bundle of planned clips: the folder that farms such as AWS Deadline Cloud take.

A bundle has a template of steps and tasks, the values of its parameters, and the list of the files that it reads and
writes (specification 2023-09, and Deadline Cloud's layout of job bundles). A first step checks that the plans still fit
their clips; then comes a step for each phase, whose tasks are the plans' chunks, and a step that merges. Each step
depends on the one before. A task is one chunk as it was planned: how chunks are divided decides nothing about the
result, but a scheduler has no need to divide them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.untrusted import in_a_line
from . import bundles
from .bundles import Bundle, clip_of, time_limit
from .planning import Plan

TEMPLATE, VALUES, ASSETS = "template.yaml", "parameter_values.yaml", "asset_references.yaml"
_LONGEST_LIST = 1024
"""Values that a task's parameter may have (specification, 3.4.1.1)."""
_LONGEST_NAME = 64
"""Letters of a step's name (7.1)."""
_NO_LETTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Those that a template cannot have, among them bytes of a file name that are not UTF-8."""
_CANCELATION = {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": 10}


@dataclass(frozen=True)
class _Task:
    """A chunk of one of the plans."""

    plan: Plan
    number: int


def write(bundle: Bundle, folder: Path) -> Path:
    """Write a job as a bundle, in the place of one of an earlier call; returns its folder.

    Raises
    ------
    Failure
        USAGE: a path has braces, or some clips have mattes and others none. BAD_OUTPUT: it cannot be written.
    """
    files = {TEMPLATE: _template(bundle), VALUES: {"parameterValues": []}, ASSETS: _assets(bundle.plans)}
    return bundles.save(folder, {name: _yaml(content) for name, content in files.items()}, main=TEMPLATE)


def _template(bundle: Bundle) -> dict[str, Any]:
    steps = list(_steps(bundle.plans))
    for before, step in pairwise(steps):
        step["dependencies"] = [{"dependsOn": before["name"]}]
    parameters = (
        ("JobName", bundle.name, "The job's name in the queue."),
        ("Python", bundle.python, "Python of the environment with Fathom's packages, on the farm's computers."),
        ("Fathom", bundle.fathom, "Fathom's folder 'inference' on the farm's computers."),
    )
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "name": "{{Param.JobName}}",
        "description": "Depth of video, planned by Fathom.",
        "parameterDefinitions": [
            {"name": name, "type": "STRING", "default": value, "description": about}
            for name, value, about in parameters
        ],
        "steps": steps,
    }


def _steps(plans: Sequence[Plan]) -> Iterator[dict[str, Any]]:
    whole = [_Task(plan, 0) for plan in plans]
    yield _step(
        "Check the plans",
        whole,
        ["plan", "--check", "{{Task.Param.Output}}", "--clip", "{{Task.Param.Clip}}"],
        needs={},
        seconds=0,
    )
    for phase, tasks in _by_phase(plans):
        found = [task.plan.phases[task.plan.chunks[task.number].phase] for task in tasks]
        parts = [tasks[start : start + _LONGEST_LIST] for start in range(0, len(tasks), _LONGEST_LIST)]
        for part, own in enumerate(parts):
            yield _step(
                f"{phase} {part + 1} of {len(parts)}" if len(parts) > 1 else phase,
                own,
                [
                    *("estimate", "{{Task.Param.Clip}}", "--planned", "{{Task.Param.Output}}"),
                    *("--chunks", "{{Task.Param.Chunk}}"),
                ],
                needs=_needs(max(p.memory for p in found), max(p.gpu_memory for p in found)),
                seconds=max(task.plan.chunks[task.number].seconds for task in tasks),
                chunks=True,
            )
    yield _step(
        "Merge", whole, ["merge", "{{Task.Param.Output}}", "--clip", "{{Task.Param.Clip}}"], needs={}, seconds=0
    )


def _by_phase(plans: Sequence[Plan]) -> list[tuple[str, list[_Task]]]:
    """The chunks of all plans by the name of their phase's step, in an order in which each plan's phases follow."""
    found: list[tuple[str, list[_Task]]] = []
    for plan in plans:
        at = 0
        for index, phase in enumerate(plan.phases):
            own = [_Task(plan, number) for number, chunk in enumerate(plan.chunks) if chunk.phase == index]
            name = _short(f"{phase.label} ({phase.name})")
            place = next((i for i in range(at, len(found)) if found[i][0] == name), None)
            if place is None:  # a phase that the plans before do not have, before what follows it in theirs
                place = at
                found.insert(place, (name if name not in dict(found) else _short(f"{place} {name}"), []))
            found[place][1].extend(own)
            at = place + 1
    return found


def _step(
    name: str,
    tasks: Sequence[_Task],
    arguments: list[str],
    *,
    needs: dict[str, Any],
    seconds: float,
    chunks: bool = False,
) -> dict[str, Any]:
    """One step, with a task for each chunk or each plan; `seconds` : what a task takes, about."""
    given: list[dict[str, Any]] = [
        {"name": "Output", "type": "PATH", "range": [_literal(task.plan.job.output) for task in tasks]},
        {"name": "Clip", "type": "PATH", "range": [_literal(clip_of(task.plan)) for task in tasks]},
    ]
    if chunks:
        given.append({"name": "Chunk", "type": "INT", "range": [task.number for task in tasks]})
    if any(task.plan.job.mattes for task in tasks):
        # a clip without mattes has the place of its own, which is not looked at
        given.append({"name": "Mattes", "type": "PATH", "range": [_mattes(task.plan) for task in tasks]})
        arguments = [*arguments, "--mattes", "{{Task.Param.Mattes}}"]
    step: dict[str, Any] = {
        "name": name,
        "parameterSpace": {
            "taskParameterDefinitions": given,
            "combination": f"({', '.join(parameter['name'] for parameter in given)})",
        },
        "script": {
            "actions": {
                "onRun": {
                    "command": "{{Param.Python}}",
                    "args": ["-I", "-u", "{{Param.Fathom}}/__main__.py", *arguments, "--progress", "openjd"],
                    "timeout": time_limit(seconds),
                    "cancelation": dict(_CANCELATION),
                }
            }
        },
    }
    return step | ({"hostRequirements": needs} if needs else {})


def _needs(memory: float, gpu_memory: float) -> dict[str, Any]:
    """What a computer must have, of memory in GB."""
    amounts = [{"name": "amount.worker.memory", "min": round(1024 * memory)}] if memory else []
    if gpu_memory:
        amounts.append({"name": "amount.worker.gpu", "min": 1})
        amounts.append({"name": "amount.worker.gpu.memory", "min": round(1024 * gpu_memory)})
    return {"amounts": amounts} if amounts else {}


def _assets(plans: Sequence[Plan]) -> dict[str, Any]:
    """The files that the farm's computers read and write, for farms that copy them there."""
    files, folders = [], []
    for plan in plans:
        source = plan.job.source
        files += [str(Path(source.path) / name) for name in source.files] or [source.path]
        folders += [plan.job.output, *([plan.job.mattes] if plan.job.mattes else [])]
    return {
        "assetReferences": {
            "inputs": {"filenames": files, "directories": folders},
            "outputs": {"directories": [plan.job.output for plan in plans]},
            "referencedPaths": [],
        }
    }


def _mattes(plan: Plan) -> str:
    if plan.job.mattes is None:
        raise Failure(
            exit_codes.USAGE,
            f"{plan.job.output} is planned without mattes and another clip of the bundle with some.",
            hint="Write a bundle for each.",
        )
    return _literal(plan.job.mattes)


def _literal(text: str) -> str:
    """A path without format strings of its own, which the template would replace, or letters that no template has."""
    if "{{" in text or "}}" in text:
        what = f"{in_a_line(text)} contains braces, which a job template takes for parameters."
        raise Failure(exit_codes.USAGE, what, hint="Rename it.")
    if _NO_LETTERS.search(text):
        what = f"{in_a_line(text)} contains letters that a job template cannot have, such as the end of a line."
        raise Failure(exit_codes.USAGE, what, hint="Rename it.")
    return text


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _yaml(content: Any) -> str:
    import yaml

    dump: Callable[..., str] = yaml.safe_dump
    return dump(content, sort_keys=False, allow_unicode=True, width=120)
