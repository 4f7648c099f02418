"""What a benchmark of StereoDiff found, as a person reads it."""

from __future__ import annotations

from typing import Any

from ...video_diffusion.execution.plan import Plan
from ..depthcrafter.benchmark_table import floor_ms, rows, told
from ..depthcrafter.reporting import described, windows

PUBLISHED = {"stage1": 410.0, "stage2": 156.9, "device": "A800", "size": "640x480"}
"""Milliseconds a frame (paper, table 1 and section 4.2), with n = 2."""
STAGE1 = {"encode": "encode frames", "pairs": "decode pairs", "align": "align"}
STAGE2 = {
    "clip": "CLIP",
    "encode": "VAE encode, plate",
    "prior": "VAE encode, prior",
    "refine": "UNet",
    "decode": "decode",
}


def measured(report: dict[str, Any]) -> str:
    """The text of a measurement; the work is what our own forward passes do."""
    first, second = report["stage1"], report["stage2"]
    tables = []
    floor = 0.0
    for stage, titles in ((first, STAGE1), (second, _passed(STAGE2, report))):
        found = rows(
            titles,
            stage,
            work=stage["work"],
            product_flops={row: report["product_flops"][stage["precisions"][row]] for row in titles},
            program_bytes=stage["program_bytes"],
            planned=stage["planned_bytes"],
        )
        floor += floor_ms(found)
        tables.append((found, stage))
    lines = [
        f"StereoDiff on {report['device']}, {report['weights']} weights, torch {report['torch']}",
        _task(report),
        "",
        f"stage 1, {first['precision']}, {_pairs(first['batch'])}",
        *told("Fathom", *tables[0], first["program_bytes"]),
        "",
        f"stage 2, {second['precision']}, {described(Plan(**second['plan']))}"
        + (", compiled" if second["plan"]["compiled"] else ""),
        *told("Fathom", *tables[1], second["program_bytes"]),
        "",
        *(
            f"a plain matrix product reaches {pace / 1e12:.2f} TFLOP/s in {precision}"
            for precision, pace in report["product_flops"].items()
        ),
        f"both stages: {_all(first) + _all(second):.1f} ms a frame, floor {floor:.1f} ms",
        _long(report),
        f"published, not measured here: {PUBLISHED['stage1']:.0f} + {PUBLISHED['stage2']:.0f} ms a frame on an "
        f"{PUBLISHED['device']} at {PUBLISHED['size']}",
    ]
    return "\n".join(lines)


def counted(report: dict[str, Any]) -> str:
    """The counts as a person reads them."""
    lines = [f"StereoDiff: {_task(report)}", "", "work for a frame, TFLOP"]
    total = 0.0
    for name, titles in (("stage1", STAGE1), ("stage2", _passed(STAGE2, report))):
        work = report[name]["work"]
        lines += [f"{title:24} {work[key] / 1e12:8.2f}" for key, title in titles.items() if key in work]
        lines.append(f"{'stage ' + name[-1]:24} {sum(work.values()) / 1e12:8.2f}  {report[name]['precision']}")
        total += sum(work.values())
    lines += [f"{'both':24} {total / 1e12:8.2f}", "", "card   stage 1 needs              stage 2 needs  plan"]
    for card in report["cards"]:
        first, second = card["stage1"], card["stage2"]
        plan = described(Plan(**second["plan"])) if second["plan"] else "nothing fits"
        batch = _pairs(first["pairs"]) if first["pairs"] else "nothing fits"
        lines.append(
            f"{first['gigabytes']:2} GB {first['needed_bytes'] / 1e9:6.1f} GB, {batch:16} "
            f"{second['needed_bytes'] / 1e9:6.1f} GB  {plan}"
        )
    return "\n".join(lines)


def _task(report: dict[str, Any]) -> str:
    plate, picture = ("x".join(map(str, report[name])) for name in ("plate", "picture"))
    return (
        f"{report['frames']} frames of {plate}; stage 1 at {picture} with n = {report['reach']}; "
        f"stage 2 at {report['width']}x{report['height']} in {windows(report)}"
    )


def _passed(titles: dict[str, str], report: dict[str, Any]) -> dict[str, str]:
    """The titles, with how often a frame goes through what is done for each window."""
    often = f", {report['passes']:.2f} a frame" if report["passes"] > 1 else ""
    return titles | {name: titles[name] + often for name in ("refine", "decode")}


def _long(report: dict[str, Any]) -> str:
    """What a frame of a very long clip takes, whose windows all share frames."""
    stage = report["stage2"]["ms_per_frame"]
    more = report["long_passes"] / report["passes"] - 1
    took = _all(report["stage1"]) + stage["all"] + more * (stage["refine"] + stage["decode"])
    return f"long clips: {report['long_passes']:.2f} passes a frame, because windows overlap, so {took:.1f} ms a frame"


def _pairs(batch: int) -> str:
    return f"{batch} pair{'s' * (batch > 1)} at once"


def _all(stage: dict[str, Any]) -> float:
    return float(stage["ms_per_frame"]["all"])
