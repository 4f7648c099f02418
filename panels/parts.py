"""Pieces that several panels draw."""

import re
import textwrap

import bpy

from ..inference.catalogue import EMBEDDED, EstimatorFacts
from ..inference.environment import MissingEnvironment, PackageSet
from ..scene import preferences, running
from ..scene.wording import worded
from . import catalogue

_PIXELS_PER_LETTER = 7.0
_BETWEEN_PIECES = re.compile(r"(\s+|(?<=[/\\])(?=\w))")
"""Where a line may end: at spaces, and after the separators of a path."""
_COMMAND = re.compile(r"\b([Rr])un: (\S.*)$")
"""How a sentence of the worker's ends that tells what to run."""


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
    wrapper = textwrap.TextWrapper(letters, break_on_hyphens=False)
    wrapper.wordsep_simple_re = _BETWEEN_PIECES
    for number, line in enumerate(wrapper.wrap(text)):
        column.label(text=line, icon=icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE"))


def draw_advice(layout: bpy.types.UILayout, text: str, *, icon: str, width: float) -> None:
    """What is wrong and what to do about it; a command that it ends with becomes a button that copies it.

    A command has two long paths in it, and nothing can be copied from a panel.
    """
    text = worded(text)
    command = _COMMAND.search(text)
    draw_text(layout, _COMMAND.sub(r"\1un this in a terminal:", text), icon=icon, width=width)
    if command:
        layout.operator("fathom.copy_command", icon="COPYDOWN").command = command[2]


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
        draw_advice(layout.box(), run.message, icon="ERROR", width=width)


def draw_environment(layout: bpy.types.UILayout, estimator: str, *, width: float) -> bool:
    """Whether the worker can be started; where it cannot, what is missing and the button that helps.

    Parameters
    ----------
    layout : UILayout
    estimator : str
        Name of the one that is chosen, which decides what to set up.
    width : float
        Of the region, in pixels.
    """
    try:
        python = preferences.worker_python()
    except MissingEnvironment as problem:
        box = layout.box()
        draw_text(box, str(problem), icon="ERROR", width=width)
        is_embedded = estimator == EMBEDDED.name
        draw_set_up(box, preferences.chosen_packages() if is_embedded else "full", width=width)
        return False
    catalogue.ask(python)
    return True


def draw_lacks(layout: bpy.types.UILayout, facts: EstimatorFacts, *, width: float) -> None:
    """What an estimator lacks and how to get it: by a button, where our own environment has too few packages."""
    for lack in facts.lacks:
        if lack.kind == "packages" and _is_worker_our_own():
            box = layout.box()
            draw_text(box, lack.what, icon="ERROR", width=width)
            draw_set_up(box, "full", width=width)
        else:
            draw_advice(layout, f"{lack.what} {lack.cure}", icon="ERROR", width=width)
    if facts.licence and any(lack.kind == "weights" for lack in facts.lacks):  # to be known before they are downloaded
        draw_text(layout, facts.licence, icon="INFO", width=width)
    for note in facts.notes:
        draw_advice(layout, f"{note.what} {note.cure}", icon="INFO", width=width)


def draw_set_up(layout: bpy.types.UILayout, packages: PackageSet, *, width: float) -> None:
    """The button that sets a set of packages up and what that takes, or why nothing may be downloaded."""
    reason = preferences.offline_reason()
    if reason is not None:
        draw_text(layout, reason, icon="INTERNET_OFFLINE", width=width)
    text = "Set Up All Estimators" if packages == "full" else "Set Up"
    layout.operator("fathom.set_up_environment", text=text, icon="IMPORT").packages = packages.upper()
    size = preferences.size_told(packages)
    draw_text(layout, f"{size[:1].upper()}{size[1:]}", width=width)


def _is_worker_our_own() -> bool:
    try:
        return preferences.own_packages(preferences.worker_python()) is not None
    except MissingEnvironment:
        return False
