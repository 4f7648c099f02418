"""The weights of networks in Fathom's preferences."""

import bpy

from ..inference.contract.weights import WeightsFacts
from ..scene import preferences, weights
from ..scene.current_run import describe_bytes
from . import parts

_STATES = {
    "missing": ("Not downloaded", "BLANK1"),
    "incomplete": ("Some files are missing", "ERROR"),
    "unverified": ("There, but never verified", "QUESTION"),
    "changed": ("Changed since it was verified; the next estimate verifies it again", "INFO"),
    "ready": ("Downloaded and verified", "CHECKMARK"),
}


def draw(layout: bpy.types.UILayout, *, width: float) -> None:
    """All weights with license, size, state and what can be done with them; the studio's folder."""
    _draw_folder(layout, width=width)
    parts.draw_failed_transfer(layout, width=width)
    parts.draw_offline(layout, preferences.offline_reason(), width=width)
    problem, found = weights.problem(), weights.known()
    if problem:
        parts.draw_text(layout, problem, icon="ERROR", width=width)
    elif found is None:
        layout.label(text="Looking for weights", icon="TIME")
    for facts in found or ():
        _draw_one(layout.box(), facts, width=width)


def _draw_folder(layout, *, width):
    known = preferences.known()
    folder = known.weights_folder if known is not None else None
    if folder is not None:
        parts.draw_text(layout, f"Weights are read from {folder}, where it has them", icon="FILE_FOLDER", width=width)
    row = layout.row(align=True)
    row.operator("fathom.choose_weights_folder", text="Use a Studio's Folder", icon="FILE_FOLDER")
    if folder is not None:
        row.operator("fathom.forget_weights_folder", text="", icon="X")


def _draw_one(box, facts: WeightsFacts, *, width):
    text, icon = _STATES[facts.state]
    row = box.row(align=True)
    row.label(text=f"{facts.label} ({describe_bytes(facts.size)})", icon=icon, translate=False)
    buttons = row.row(align=True)
    buttons.alignment = "RIGHT"
    if not facts.can_run and not facts.studio:
        get = buttons.operator("fathom.get_weights", text="Resume" if facts.partial_size else "Download", icon="IMPORT")
        get.names = facts.name
    if facts.state != "missing":
        buttons.operator("fathom.verify_weights", text="Verify", icon="FILE_REFRESH").names = facts.name
    if not facts.studio and (facts.state != "missing" or facts.partial_size):
        buttons.operator("fathom.remove_weights", text="", icon="TRASH").weights = facts.name
    if facts.partial_size and facts.missing_size:
        text = f"{int(100 * min(facts.partial_size / facts.missing_size, 1))} % downloaded"
    elif facts.state in ("ready", "changed", "unverified") and not facts.can_run and not facts.studio:
        text = f"{text}; Download asks for its license or replaces damaged files"
    where = f", in the studio's folder {facts.folder}" if facts.studio else ""
    parts.draw_text(
        box,
        f"{text}{where}. For {', '.join(facts.users or facts.estimators)}. {facts.licence.title}.",
        width=width,
    )
