"""Pieces that several panels draw."""

import re
from collections.abc import Sequence
from typing import get_args

import bpy

from ..inference.contract import client, exit_codes
from ..inference.contract.catalogue import AUTOMATIC, EMBEDDED, LEARNED, QUICK, EstimatorFacts
from ..inference.contract.environment import PackageSet
from ..inference.contract.events import ShotNote
from ..inference.contract.hints import setting
from ..scene import current_run, preferences, weights
from ..scene.current_run import Transfer, describe_bytes
from ..scene.preferences import Environment
from ..scene.subject import Subject
from ..scene.wording import shown, worded, wrapped
from . import catalogue

_PIXELS_PER_LETTER = 7.0
_MOST_SHOTS, _MOST_REASONS = 6, 6
"""That are listed; a sidebar is no place to read more, and the log has them all."""
_MOST_WARNINGS, _MOST_LINES = 6, 40
"""Of a run, and of one sentence: what is drawn again and again must not hold Blender up, whatever the worker says."""
_SETS = get_args(PackageSet)
_COMMAND = re.compile(r"\b([Rr])un: (\S.*)$")
"""How a sentence of the worker's ends that names what to run."""


class Sidebar:
    """Mix-in: a panel in the sidebar's tab Fathom."""

    bl_region_type = "UI"
    bl_category = "Fathom"


def draw_text(layout: bpy.types.UILayout, text: str, *, icon: str = "NONE", width: float = 220.0) -> None:
    """A sentence with an icon before it, broken into lines that fit a region that is so many pixels wide."""
    scale = bpy.context.preferences.system.ui_scale or 1.0  # 0 without a window
    letters = max(16, int((width / scale - 50) / _PIXELS_PER_LETTER))
    column = layout.column(align=True)
    column.scale_y = 0.8
    lines = wrapped(shown(text), letters)
    lines = lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "…"]
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE"))


def draw_advice(layout: bpy.types.UILayout, text: str, *, icon: str, width: float, quotes: bool = False) -> None:
    """What is wrong and what to do about it; a command that it ends with becomes a button that copies it.

    A command has two long paths in it, and nothing can be copied from a panel. Where the text `quotes` others, such as
    the name of a clip or what a depth.json says, only a command of Fathom's own does.
    """
    text = worded(text)
    command = _COMMAND.search(text)
    if command and quotes and not _is_own(command[2]):
        draw_text(layout, text, icon=icon, width=width)
        return
    draw_text(layout, _COMMAND.sub(r"\1un this in a terminal:", text), icon=icon, width=width)
    if command:
        layout.operator("fathom.copy_command", icon="COPYDOWN").command = command[2]
    _draw_offers(layout, text)


def _draw_offers(layout: bpy.types.UILayout, text: str) -> None:
    """Buttons for what a message asks for and Blender may know: the lens, mattes of people or on a strip."""
    lens, mattes = (worded(setting(name)) for name in ("focal_length", "mattes"))
    if lens in text:
        row = layout.row(align=True)
        row.operator("fathom.use_lens", text="Tracking Camera", icon="TRACKER").what = "CLIP"
        row.operator("fathom.use_lens", text="Scene Camera", icon="CAMERA_DATA").what = "CAMERA"
    if mattes in text:
        column = layout.column(align=True)
        column.operator("fathom.make_mattes", text="Make Mattes of People", icon="USER")
        column.operator("fathom.use_mattes", icon="SEQ_SEQUENCER")


def _is_own(command: str) -> bool:
    """Whether a command runs the worker's Python, with pip or Fathom's own main file, and no shell reads more in it."""
    environment = preferences.known()
    if environment is None or environment.python is None:
        return False
    first, main = (f'"{path}"' if " " in str(path) else str(path) for path in (environment.python, client.MAIN))
    starts = (f"{first} {main} ", f"{first} -m pip install -r ")
    return command.startswith(starts) and not set(command) & set(";|&$`<>#'")


def draw_run(layout: bpy.types.UILayout, run: current_run.Run, *, width: float) -> None:
    """What is running: its stage, how far it is, and a way to end it."""
    box = layout.box()
    draw_text(box, run.title, icon="RENDER_ANIMATION", width=width)
    column = box.column(align=True)
    draw_text(column, run.label, width=width)
    column.progress(factor=run.progress.fraction, text=f"{run.progress.fraction:.0%}")
    draw_text(column, run.summary or "\N{NO-BREAK SPACE}", width=width)  # Cancel stays where it is
    for warning in run.warnings[-_MOST_WARNINGS:]:
        draw_text(box, warning, icon="INFO", width=width)
    if len(run.warnings) > _MOST_WARNINGS:
        draw_text(box, f"and {len(run.warnings) - _MOST_WARNINGS} more warnings", width=width)
    draw_shots(box, run.shots, width=width)
    box.operator("fathom.cancel_estimate", text="Cancel", icon="CANCEL")


def draw_last(layout: bpy.types.UILayout, about: Subject | None, facts: EstimatorFacts | None, *, width: float) -> None:
    """Why the last estimate failed, or which shots it left out: for its own clip and settings alone.

    Where something was missing to run at all, that is said of any clip, until it is there.
    """
    run = current_run.last()
    if run is None or about is None or not isinstance(run.subject, Subject):
        return
    if run.code == exit_codes.MISSING:
        is_concerned = run.subject.settings == about.settings and not (facts and facts.missing_requirements)
    else:
        is_concerned = run.subject == about
    if not is_concerned:
        return
    if run.outcome == "failed":
        box = layout.box()
        draw_advice(box, run.headline, icon="ERROR", width=width, quotes=True)
        draw_shots(box, run.shots, width=width)
        if run.code == exit_codes.UNSUPPORTED:
            draw_quick(box, facts.name if facts else "", width=width)
    elif run.outcome == "done" and run.shots:
        box = layout.box()
        count = "1 shot has" if len(run.shots) == 1 else f"{len(run.shots)} shots have"
        draw_text(box, f"{count} no depth", icon="INFO", width=width)
        draw_shots(box, run.shots, width=width)
        draw_quick(box, facts.name if facts else "", width=width)


def draw_quick(layout: bpy.types.UILayout, estimator: str, *, width: float) -> None:
    """The button that gives soft depth of any clip at once, where `estimator` is another; Automatic's networks."""
    if estimator == AUTOMATIC.name:
        draw_networks(layout, width=width)
    elif estimator != QUICK.estimator:
        _draw_get_quick(layout, is_there=_has_quick(), icon="RENDER_ANIMATION", width=width)


def _has_quick() -> bool:
    """Whether Quick has its weights, as far as is known."""
    quick = catalogue.facts(QUICK.estimator)
    return quick is None or not any(requirement.kind == "weights" for requirement in quick.missing_requirements)


def draw_networks(layout: bpy.types.UILayout, *, width: float) -> None:
    """Buttons that get the weights of the networks that Automatic takes, and estimate with it."""
    for network in LEARNED:
        facts = catalogue.facts(network.estimator)
        missing = {requirement.kind for requirement in facts.missing_requirements} if facts is not None else {"weights"}
        if missing != {"weights"} or (facts is None and network != QUICK):
            continue
        draw_offline(layout, preferences.offline_reason(), width=width)
        label = facts.label if facts is not None else QUICK.estimator.title()
        layout.operator("fathom.get_network", text=f"Get {label}", icon="IMPORT").network = network.estimator
        draw_text(layout, network.terms, width=width)


def _draw_get_quick(layout: bpy.types.UILayout, *, is_there: bool, icon: str, width: float) -> None:
    """The button, what it downloads, and what stands in the way of that."""
    if not is_there:
        draw_offline(layout, preferences.offline_reason(), width=width)
    layout.operator("fathom.get_quick_depth", icon=icon)
    draw_text(layout, QUICK.terms, width=width)


def draw_shots(layout: bpy.types.UILayout, shots: Sequence[ShotNote], *, width: float) -> None:
    """Why shots have no depth: each reason once, under buttons that go to the frames it holds for."""
    reasons: dict[str, list[ShotNote]] = {}
    for shot in shots:
        reasons.setdefault(shot.reason, []).append(shot)
    for reason, those in list(reasons.items())[:_MOST_REASONS]:
        column = layout.column(align=True)
        for shot in those[:_MOST_SHOTS]:
            go = column.operator("fathom.show_frame", text=shot.frames, icon="TIME")
            go.frame = shot.first_frame
        if len(those) > _MOST_SHOTS:
            column.label(text=f"and {len(those) - _MOST_SHOTS} more shots")
        draw_advice(layout, reason, icon="NONE", width=width, quotes=True)
    if len(reasons) > _MOST_REASONS:
        draw_text(layout, f"and {len(reasons) - _MOST_REASONS} other reasons", width=width)


def draw_environment(
    layout: bpy.types.UILayout, environment: Environment | None, estimator: str, *, width: float
) -> bool:
    """Whether the worker can be started; where it cannot, what is missing and the button that helps.

    `estimator` is the name of the one that is chosen, which decides what to install.
    """
    if environment is None:
        return False
    if environment.python is not None:
        catalogue.ask(environment.python)
        return True
    problem = environment.problem
    box = layout.box()
    box.alert = True
    text = preferences.here(str(problem)) if problem.by_setup else str(problem)
    draw_text(box, text, icon="ERROR", width=width)
    box.alert = False
    if problem.by_setup:
        is_light = estimator in EMBEDDED
        draw_install(box, environment, preferences.chosen_packages() if is_light else "full", width=width)
    else:
        box.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = preferences.ADDON
    return False


def draw_requirements(
    layout: bpy.types.UILayout, facts: EstimatorFacts, environment: Environment | None, *, width: float
) -> None:
    """An estimator's missing requirements and how to get them: by a button, where packages of our own are missing."""
    kinds = {requirement.kind for requirement in facts.missing_requirements}
    for requirement in facts.missing_requirements:
        if requirement.kind == "packages" and environment is not None and environment.own is not None:
            box = layout.box()
            draw_text(box, requirement.what, icon="ERROR", width=width)
            draw_install(box, environment, "full", width=width)
        elif facts.name == QUICK.estimator and requirement.kind == "weights":
            _draw_get_quick(layout, is_there=False, icon="IMPORT", width=width)
        elif requirement.weights:
            draw_text(layout, requirement.what, icon="ERROR", width=width)
            if _has_quick():  # else its button has it
                draw_offline(layout, preferences.offline_reason(), width=width)
            draw_get_weights(layout, requirement.weights, width=width)
        else:
            draw_advice(layout, f"{requirement.what} {requirement.hint}", icon="ERROR", width=width)
    if kinds and "environment" not in kinds:  # which Quick needs too
        draw_quick(layout, facts.name, width=width)
    if facts.licence and "weights" in kinds:  # to be known before they are downloaded
        draw_text(layout, facts.licence, icon="INFO", width=width)
    if facts.name == AUTOMATIC.name and catalogue.has_answered() and catalogue.best_network() is None:
        draw_text(layout, "Shots from a locked camera need a network, downloaded once", icon="INFO", width=width)
        draw_networks(layout, width=width)
        return
    for note in facts.notes:
        if note.kind == "device" and environment is not None and environment.own == "full":  # of ours, by a button
            draw_text(layout, note.what, icon="INFO", width=width)
            layout.operator("fathom.repair_environment", text="Repair: Fit PyTorch to the GPU", icon="FILE_REFRESH")
            continue
        draw_advice(layout, f"{note.what} {note.hint}", icon="INFO", width=width)


def draw_get_weights(layout: bpy.types.UILayout, names: tuple[str, ...], *, width: float) -> None:
    """The button that shows the licenses of missing weights and downloads them, and why the last download failed."""
    draw_failed_transfer(layout, width=width)
    found = [facts for facts in weights.known() or () if facts.name in names]
    left = sum(max(facts.missing_size - facts.partial_size, 0) for facts in found)
    text = f"Download Weights ({describe_bytes(left)})" if left else "Download Weights"
    layout.operator("fathom.get_weights", text=text, icon="IMPORT").names = ",".join(names)


def draw_failed_transfer(layout: bpy.types.UILayout, *, width: float) -> None:
    """Why the last download or verification failed."""
    run = current_run.last()
    if run is not None and run.outcome == "failed" and isinstance(run.subject, Transfer):
        draw_advice(layout, run.message, icon="ERROR", width=width, quotes=True)


def draw_install(
    layout: bpy.types.UILayout, environment: Environment | None, packages: PackageSet, *, width: float
) -> None:
    """The button that installs a set of packages, what that takes, and what stands in its way."""
    draw_failed_install(layout, environment, width=width)
    draw_offline(layout, preferences.install_offline_reason(environment), width=width)
    text = "Install All Dependencies" if packages == "full" else "Install Dependencies"
    layout.operator("fathom.install_dependencies", text=text, icon="IMPORT").packages = packages.upper()
    size = preferences.describe_size(packages)
    draw_text(layout, f"{size[:1].upper()}{size[1:]}", width=width)
    if packages == "full":
        draw_torch_build(layout, width=width)


def draw_torch_build(layout: bpy.types.UILayout, *, width: float) -> None:
    """Which build of PyTorch would be installed, and why, as far as is known."""
    build = preferences.known_torch_build()
    if build is not None:
        draw_text(layout, build.reason, icon="ERROR" if build.is_short else "INFO", width=width)


def draw_failed_install(layout: bpy.types.UILayout, environment: Environment | None, *, width: float) -> None:
    """Why installing packages failed, until they are there."""
    run = current_run.last()
    if run is None or run.outcome != "failed" or run.subject not in _SETS:
        return
    if environment is None or not environment.has(run.subject):
        draw_advice(layout, preferences.here(run.message), icon="ERROR", width=width, quotes=True)


def draw_offline(layout: bpy.types.UILayout, reason: str | None, *, width: float) -> None:
    """That Blender may not go online, and the button that allows it, as in Blender's own preferences."""
    if reason is None:
        return
    if preferences.is_kept_offline():
        draw_text(layout, reason, icon="INTERNET_OFFLINE", width=width)
        return
    draw_text(layout, preferences.OFFLINE, icon="INTERNET_OFFLINE", width=width)
    if hasattr(bpy.types, "EXTENSIONS_OT_userpref_allow_online"):
        layout.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="CHECKMARK")
    else:
        system = bpy.context.preferences.system
        layout.prop(system, "use_online_access", text="Allow Online Access", toggle=True)
