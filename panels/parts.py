"""Pieces that several panels draw."""

import textwrap

import bpy

from ..inference.environment import MissingEnvironment
from ..scene import preferences, running
from . import catalogue

_PIXELS_PER_LETTER = 7.0


def draw_text(layout: bpy.types.UILayout, text: str, *, icon: str = "NONE", width: float = 220.0) -> None:
    """A sentence, broken into lines that fit.

    Parameters
    ----------
    layout : UILayout
    text : str
    icon : str
        Before the first line.
    width : float
        Of the region, in pixels.
    """
    scale = bpy.context.preferences.system.ui_scale or 1.0  # 0 without a window
    letters = max(16, int((width / scale - 50) / _PIXELS_PER_LETTER))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, letters, break_long_words=True)):
        column.label(text=line, icon=icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE"))


def draw_run(layout: bpy.types.UILayout, run: running.Run, *, width: float) -> None:
    """What goes on: its stage, how far it is, and a way to end it."""
    box = layout.box()
    draw_text(box, run.title, icon="RENDER_ANIMATION", width=width)
    column = box.column(align=True)
    column.label(text=run.label)
    column.progress(factor=run.progress.fraction, text=f"{run.progress.fraction:.0%}")
    if run.summary:
        column.label(text=run.summary)
    for warning in run.warnings:
        draw_text(box, warning, icon="INFO", width=width)
    box.operator("fathom.cancel_estimate", text="Cancel", icon="CANCEL")


def draw_last(layout: bpy.types.UILayout, *, width: float) -> None:
    """Why the last run failed, until the next one begins."""
    run = running.last()
    if run is not None and run.outcome == "failed":
        draw_text(layout.box(), run.message, icon="ERROR", width=width)


def draw_environment(layout: bpy.types.UILayout, *, width: float) -> bool:
    """Whether the worker can be started; where it cannot, what is missing and the button that helps."""
    try:
        python = preferences.worker_python()
    except MissingEnvironment as problem:
        box = layout.box()
        draw_text(box, str(problem), icon="ERROR", width=width)
        draw_set_up(box, width=width)
        return False
    catalogue.ask(python)
    return True


def draw_set_up(layout: bpy.types.UILayout, *, width: float) -> None:
    """The button that makes the environment, or why nothing may be downloaded."""
    reason = preferences.offline_reason()
    if reason is not None:
        draw_text(layout, reason, icon="INTERNET_OFFLINE", width=width)
    layout.operator("fathom.set_up_environment", text="Set Up", icon="IMPORT")
