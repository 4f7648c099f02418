"""What a benchmark found, as a person reads it."""

from __future__ import annotations

from typing import Any

from .execution.plan import Plan
from .pipeline import ENCODE_GRID

_ROWS = {"clip": "CLIP", "encode": "VAE encode", "denoise": "denoise", "decode": "decode", "all": "all"}


def measured(report: dict[str, Any]) -> str:
    """The text of a measurement.

    The share of the floor is how long a frame's work would take at the pace of the plain product, against how long it
    took. The work is the stock modules', so that leaving some of it out shows as a gain.
    """
    floor = _floor(report)
    windows = f"windows of {report['window']}" + (
        f" with {report['overlap']} shared" if report["frames"] > report["window"] else ""
    )
    steps = f"{report['steps']} step{'s' * (report['steps'] > 1)}"
    guided = f", guidance {report['guidance']:g}" if report["guidance"] > 1 else ""
    lines = [
        f"DepthCrafter on {report['device']}, {report['precision']}, {report['weights']} weights, "
        f"torch {report['torch']}",
        f"{report['width']}x{report['height']}, {report['frames']} frames in {windows}, {steps}{guided}",
        f"plan: {described(Plan(**report['plan']))}" + (", compiled" if report["plan"]["compiled"] else ""),
        f"a plain matrix product reaches {report['product_flops'] / 1e12:.2f} TFLOP/s: "
        f"floor {floor['all']:.1f} ms a frame",
        "",
        *_table("Fathom", report["own"], report, floor, report["planned_bytes"]),
    ]
    plain = report["plain"]
    if plain is None:
        return "\n".join(lines)
    ratio = plain["ms_per_frame"]["all"] / report["own"]["ms_per_frame"]["all"]
    psnr = ", ".join(f"{what} {f'{value:.1f} dB' if value else 'none'}" for what, value in report["psnr"].items())
    return "\n".join(
        [
            *lines,
            "",
            *_table("diffusers", plain, report, floor, {}),
            "",
            f"{ratio:.2f} times as fast as diffusers' stock modules; PSNR to theirs: {psnr}",
        ]
    )


def counted(report: dict[str, Any]) -> str:
    """The counts as a person reads them."""
    work, size = report["work"], f"{report['width']}x{report['height']}"
    lines = [
        f"DepthCrafter at {size}, {report['frames']} frames in windows of {report['window']}, "
        f"{report['steps']} steps, {report['precision']}",
        "",
        "work for a frame, TFLOP     stock    own",
    ]
    names = {"clip": "CLIP", "encode": "VAE encode", "step": "UNet, one pass", "denoise": "denoise", "decode": "decode"}
    lines += [f"{names[key]:24} {work[key] / 1e12:8.2f} {work['own'][key] / 1e12:6.2f}" for key in names]
    totals = [sum(part[key] for key in ("clip", "encode", "denoise", "decode")) for part in (work, work["own"])]
    lines += [f"{'all':24} {totals[0] / 1e12:8.2f} {totals[1] / 1e12:6.2f}", "", "card    needs     plan"]
    for card in report["plans"]:
        told = described(Plan(**card["plan"])) if card["plan"] else "nothing fits"
        lines.append(f"{card['gigabytes']:2} GB {card['needed_bytes'] / 1e9:7.1f} GB  {told}")
    return "\n".join(lines)


def described(plan: Plan) -> str:
    """A plan in words."""
    told = []
    if plan.frames is not None:
        told.append(f"UNet by {plan.frames} frames")
    if plan.decoder_rows is not None:
        told.append(f"decoder by {plan.decoder_rows} rows")
    if plan.encode_frames < ENCODE_GRID:
        told.append(f"encoder by {plan.encode_frames} frame{'s' * (plan.encode_frames > 1)}")
    if plan.networks_on_host:
        told.append("each network on the card only while it is used")
    if plan.skips_on_host:
        told.append("skip connections in the computer's memory")
    if plan.blocks_on_host:
        told.append("the UNet brought layer by layer")
    return ", ".join(told) or "everything at once"


def _floor(report: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of a frame at the pace of the plain product."""
    work = report["work"]
    floor = {stage: 1000 * work[stage] / report["product_flops"] for stage in ("clip", "encode", "denoise", "decode")}
    return floor | {"all": sum(floor.values())}


def _table(
    who: str, result: dict[str, Any], report: dict[str, Any], floor: dict[str, float], planned: dict[str, int]
) -> list[str]:
    lines = [f"{who:12} {'ms/frame':>9} {'TFLOP/frame':>12} {'of floor':>9} {'peak GB':>8} {'planned':>8}"]
    for stage, title in _ROWS.items():
        took = result["ms_per_frame"][stage]
        tera = floor[stage] * report["product_flops"] / 1e15
        share = f"{100 * floor[stage] / took:.1f} %" if took else "-"
        peak, plan = result["peak_bytes"].get(stage), planned.get(stage)
        held = f"{(peak['allocated'] or peak['reserved'] - report['program_bytes']) / 1e9:.2f}" if peak else ""
        intended = f"{plan / 1e9:.2f}" if plan else ""
        lines.append(f"{title:12} {took:9.1f} {tera:12.2f} {share:>9} {held:>8} {intended:>8}".rstrip())
    peaks = result["peak_bytes"].values()
    most = max(peak["reserved"] for peak in peaks)
    program = f", {report['program_bytes'] / 1e9:.2f} GB of them the program itself" if report["program_bytes"] else ""
    lines.append(f"first pass {result['first_seconds']:.1f} s; {most / 1e9:.2f} GB held at most{program}")
    if not result["finite"]:
        lines.append("Some values are no numbers: this precision does not suffice for these weights.")
    return lines
