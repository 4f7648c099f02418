"""What a benchmark found, as a person reads it."""

from __future__ import annotations

from typing import Any

from ...video_diffusion.execution.plan import Plan
from ...video_diffusion.stages import ENCODE_GRID
from .benchmark_table import Row, floor_ms, rows, told

_ROWS = {"clip": "CLIP", "encode": "VAE encode", "denoise": "denoise", "decode": "decode"}


def measured(report: dict[str, Any]) -> str:
    """The text of a measurement.

    The work is the stock modules', so that leaving some of it out shows as a gain.
    """
    program = report["program_bytes"]
    own = _rows(report["own"], report, report["planned_bytes"])
    steps = f"{report['steps']} step{'s' * (report['steps'] > 1)}"
    guided = f", guidance {report['guidance']:g}" if report["guidance"] > 1 else ""
    lines = [
        f"DepthCrafter on {report['device']}, {report['precision']}, {report['weights']} weights, "
        f"torch {report['torch']}",
        f"{report['width']}x{report['height']}, {report['frames']} frames in {windows(report)}, {steps}{guided}",
        f"plan: {described(Plan(**report['plan']))}" + (", compiled" if report["plan"]["compiled"] else ""),
        f"a plain matrix product reaches {report['product_flops'] / 1e12:.2f} TFLOP/s: "
        f"floor {floor_ms(own):.1f} ms a frame",
        "",
        *told("Fathom", own, report["own"], program),
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
            *told("diffusers", _rows(plain, report, {}), plain, program),
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
    lines += map(card_line, report["plans"])
    return "\n".join(lines)


def windows(report: dict[str, Any]) -> str:
    """How the clip is cut up, in words."""
    shared = f" with {report['overlap']} shared" if report["frames"] > report["window"] else ""
    return f"windows of {report['window']}{shared}"


def card_line(card: dict[str, Any]) -> str:
    """What a card would do."""
    plan = described(Plan(**card["plan"])) if card["plan"] else "nothing fits"
    return f"{card['gigabytes']:2} GB {card['needed_bytes'] / 1e9:7.1f} GB  {plan}"


def described(plan: Plan) -> str:
    """A plan in words."""
    words = []
    if plan.frames is not None:
        words.append(f"UNet by {plan.frames} frames")
    if plan.decoder_rows is not None:
        words.append(f"decoder by {plan.decoder_rows} rows")
    if plan.encode_frames < ENCODE_GRID:
        words.append(f"encoder by {plan.encode_frames} frame{'s' * (plan.encode_frames > 1)}")
    if plan.networks_on_host:
        words.append("each network on the card only while it is used")
    if plan.skips_on_host:
        words.append("skip connections in the computer's memory")
    if plan.blocks_on_host:
        words.append("the UNet brought layer by layer")
    return ", ".join(words) or "everything at once"


def _rows(result: dict[str, Any], report: dict[str, Any], planned: dict[str, int]) -> list[Row]:
    return rows(
        _ROWS,
        result,
        work=report["work"],
        product_flops=dict.fromkeys(_ROWS, report["product_flops"]),
        program_bytes=report["program_bytes"],
        planned=planned,
    )
