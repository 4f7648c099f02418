"""``estimators``: a list of them."""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..contract import exit_codes, records
from ..contract.catalogue import MissingRequirement, Parameter
from ..estimators import requirements
from ..estimators.base import EstimatorInfo, Variant
from ..run import automatic
from .display import facts_block


def variant_text(variant: Variant) -> str:
    """The parameter that chooses a variant, as text."""
    return f"{variant.parameter}={'DIR' if variant.value is None else variant.value}"


@dataclass(frozen=True, kw_only=True)
class EstimatorStatus:
    """An estimator with its missing requirements and recommendations; without facts where it cannot be loaded.

    `variants` has the missing requirements of each of the facts' variants.
    """

    name: str
    facts: EstimatorInfo | None
    missing_requirements: list[MissingRequirement]
    notes: list[MissingRequirement]
    variants: tuple[list[MissingRequirement], ...] = ()


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "estimators",
        help="list the estimators",
        description="List the estimators, and whether they can run on this computer.",
    )
    verb.add_argument("--json", action="store_true", help="print a JSON list with every fact")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    listed = [status_of(name) for name in automatic.in_order()]
    if options.json:
        print(json.dumps([_as_json(entry) for entry in listed], indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_as_text(entry) for entry in listed))
    return exit_codes.OK


def status_of(name: str) -> EstimatorStatus:
    """The status of an estimator on this computer; one that cannot be loaded does not hide the others."""
    try:
        info = automatic.info(name)
    except Exception as error:
        traceback.print_exc()
        requirement = MissingRequirement(
            what=f"The estimator cannot be loaded ({type(error).__name__}: {error}).", hint="Install Fathom again."
        )
        return EstimatorStatus(name=name, facts=None, missing_requirements=[requirement], notes=[])
    variants = tuple(requirements.missing_requirements(info.used(variant)) for variant in info.variants)
    return EstimatorStatus(
        name=name,
        facts=info,
        missing_requirements=requirements.missing_requirements(info),
        notes=automatic.notes(info),
        variants=variants,
    )


def _as_json(entry: EstimatorStatus) -> dict[str, Any]:
    facts = records.to_json(entry.facts) if entry.facts else {"name": entry.name}
    for variant, missing in zip(facts.get("variants", ()), entry.variants):
        variant["missing_requirements"] = records.to_json(missing)
    told = {"missing_requirements": records.to_json(entry.missing_requirements), "notes": records.to_json(entry.notes)}
    return facts | {"can_run": not entry.missing_requirements} | told


def _as_text(entry: EstimatorStatus) -> str:
    info, title, rows = entry.facts, entry.name, []
    if info:
        title = f"{entry.name} - {info.label}: {info.summary}"
        gives = [info.quantity.replace("_", " ")]
        gives += ["camera"] if info.has_camera else []
        gives += ["confidence"] if info.has_confidence else []
        depth = f" (depth is computed at {info.depth_size} at most)" if info.depth_size else ""
        size = f"{info.default_size} pixels on the long side{depth}, {info.minimum_frames} frames or more"
        rows += [("license", info.licence), ("needs", _needs(info)), ("output", ", ".join(gives)), ("size", size)]
        ordered = sorted(info.parameters, key=lambda parameter: parameter.advanced)
        rows += [("advanced" if each.advanced else "parameter", _parameter(each)) for each in ordered]
    rows += [("can run", answer) for answer in _answers(entry.missing_requirements)]
    if info and entry.missing_requirements:
        for variant, missing in zip(info.variants, entry.variants):
            rows += [("", f"with {variant_text(variant)}: {answer}") for answer in _answers(missing)]
    return facts_block(title, [*rows, *(("note", f"{note.what} {note.hint}") for note in entry.notes)])


def _answers(missing_requirements: Sequence[MissingRequirement]) -> list[str]:
    """Whether an estimator can run, and why not."""
    return [f"no: {requirement.what} {requirement.hint}" for requirement in missing_requirements] or ["yes"]


def _needs(info: EstimatorInfo) -> str:
    needs = [f"packages {', '.join(info.packages)}"] if info.packages else []
    needs += [f"weights {model.repository} ({model.licence.title})" for model in info.models]
    needs += {"unused": [], "useful": ["a GPU helps"], "needed": ["an NVIDIA GPU"]}[info.gpu]
    return "; ".join(needs) or "only Fathom's own packages"


def _parameter(parameter: Parameter) -> str:
    text = f"{parameter.name}={parameter.default}: {parameter.description}"
    if parameter.depth_sequence:
        return f"{parameter.name}=DIR: {parameter.description}"
    if parameter.choices:
        return f"{text} One of {', '.join(parameter.choices)}."
    bounds = [f"{parameter.minimum:g} or more"] if parameter.minimum is not None else []
    bounds += [f"{parameter.maximum:g} or less"] if parameter.maximum is not None else []
    return f"{text} {' and '.join(bounds).capitalize()}." if bounds else text
