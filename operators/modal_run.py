"""What operators that start something long have in common: modal with a timer in the UI, blocking in background.

Both follow the same generator (`scene.current_run.Run`). Between ticks nothing of Blender's is kept but the timer and
the names of what is needed at the end, so the artist may undo, delete and switch scenes meanwhile.
"""

import time

import bpy

from ..inference.contract.events import Stage
from ..inference.contract.untrusted import readable
from ..scene import current_run
from ..scene.current_run import Run
from ..scene.problems import PROBLEMS
from ..scene.redraw import clear_status, redraw
from .reporting import pops_up, report_error

_TICK = 0.2
_PRINT_EVERY = 2.0
_MOST_REPORTED = 200
_REASONS = "The tab Fathom has the reason of each."
_timers: list[bpy.types.Timer] = []  # at most one; kept here so that disabling the extension can remove it


def is_idle(operator: type[bpy.types.Operator]) -> bool:
    """Whether nothing is running, for an operator's poll."""
    if current_run.current() is not None:
        operator.poll_message_set("Fathom is at work: wait for it, or cancel it")
        return False
    return True


class Follows:
    """Mix-in: the operator gives `begin` and `finish`, and inherits how it is run.

    ``begin(context)`` returns the arguments of `current_run.start`, or None when there is nothing to run.
    ``finish(context)`` is called when the run is done and takes in its result. Either may raise one of `PROBLEMS`.
    """

    cancelled_note = ""
    """What is reported when the run was cancelled."""

    _run: Run | None = None
    _editor = ""

    @classmethod
    def poll(cls, context):
        return is_idle(cls) and context.scene is not None

    def execute(self, context):
        """Run to the end, printing progress."""
        at_once = self._start(context)
        if at_once is not None:
            return at_once
        try:
            _follow_printing(self._run)
        finally:
            current_run.end(self._run)
        return self._conclude(context)

    def invoke(self, context, event):
        """Run beside the artist's work."""
        if bpy.app.background:
            return self.execute(context)
        at_once = self._start(context)
        if at_once is not None:
            return at_once
        window = _lasting_window(context)
        self._editor = context.area.type if context.area and window == context.window else ""
        _timers.append(context.window_manager.event_timer_add(_TICK, window=window))
        with context.temp_override(window=window):
            context.window_manager.modal_handler_add(self)
        _show(context, self._run, self._editor)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Advance the run at every tick; everything else passes on to the rest of Blender."""
        if event.type == "ESC" and event.value == "PRESS" and self._is_ours(context, event):
            self._run.cancel()
            _show(context, self._run, self._editor)
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            self._run.advance()
        except Exception:  # a mistake of ours; without this nothing could be started until Blender is
            current_run.end(self._run)
            _leave()
            raise
        if self._run.outcome == "running":
            _show(context, self._run, self._editor)
            return {"PASS_THROUGH"}
        current_run.end(self._run)
        _leave()
        return self._conclude(context)

    def cancel(self, context):
        """The window was closed, another file is opened, or Blender ends: the run ends with it."""
        current_run.end(self._run)
        _leave()

    def _start(self, context):
        """Begin the run; what the operator returns where none is needed or possible, else None."""
        try:
            begun = self.begin(context)
            if begun is None:
                return {"FINISHED"}
            self._run = current_run.start(*begun)
        except (OSError, *PROBLEMS) as problem:
            return report_error(self, problem)
        return None

    def _is_ours(self, context, event) -> bool:
        """Whether Esc is meant for the run: over the kind of editor that it was started in, nothing playing."""
        if context.screen.is_animation_playing:
            return False
        for area in context.screen.areas:
            inside = 0 <= event.mouse_x - area.x < area.width and 0 <= event.mouse_y - area.y < area.height
            if inside:
                return area.type == self._editor
        return False

    def _conclude(self, context):
        run = self._run
        self._warn(run.warnings)
        if run.outcome == "failed":
            in_panel = pops_up(self) and run.subject is not None and len(run.shots) > 1
            return report_error(self, f"{run.headline}\n{_REASONS}" if in_panel else run.message)
        self._warn([f"No depth for {shot.text[0].lower()}{shot.text[1:]}" for shot in run.shots])
        if run.outcome == "cancelled":
            self.report({"WARNING"}, f"{run.title} was cancelled. {self.cancelled_note}".strip())
            return {"CANCELLED"}
        try:
            self.finish(context)
        except (OSError, *PROBLEMS) as problem:
            return report_error(self, problem)
        return {"FINISHED"}

    def _warn(self, sentences: list[str]):
        """Report warnings, as many as somebody reads."""
        for sentence in sentences[:_MOST_REPORTED]:
            self.report({"WARNING"}, readable(sentence))
        if len(sentences) > _MOST_REPORTED:
            self.report({"WARNING"}, f"And {len(sentences) - _MOST_REPORTED} more such warnings")


def _lasting_window(context) -> bpy.types.Window:
    """The window to run in: closing it ends the run, so it is no passing one, such as that of the preferences."""
    lasting = (w for w in context.window_manager.windows if not w.screen.is_temporary)
    return next(lasting, context.window) if context.window.screen.is_temporary else context.window


def print_events():
    """A listener that prints the stages of the queue's jobs."""

    def on_event(queued, event):
        if isinstance(event, Stage):
            print(readable(f"Fathom: {queued.label}: {event.label}"), flush=True)

    return on_event


def _follow_printing(run: Run) -> None:
    """Advance a run to its end and print what happens."""
    print(f"Fathom: {run.title}", flush=True)
    printed = time.monotonic()
    while run.outcome == "running":
        for event in run.advance():
            if isinstance(event, Stage):
                print(readable(f"Fathom: {event.label}"), flush=True)
        if run.summary and time.monotonic() - printed > _PRINT_EVERY:
            print(f"Fathom: {run.summary}", flush=True)
            printed = time.monotonic()


def _show(context, run: Run, editor: str) -> None:
    """Progress in the status bar and the panels."""
    parts = [part for part in (run.title, run.label if not run.cancelling else "", run.summary) if part]
    if not run.cancelling and editor:
        parts.append(f"Esc over the {_EDITORS.get(editor, 'editor')} cancels")
    context.workspace.status_text_set(" | ".join(parts))
    redraw()


_EDITORS = {"SEQUENCE_EDITOR": "Sequencer", "CLIP_EDITOR": "Movie Clip Editor", "PREFERENCES": "Preferences"}


def end() -> None:
    """End what is running, because the extension is being disabled or another file is opened."""
    current_run.end_current()
    _leave()


def _leave() -> None:
    """Remove the timer and give the status bar back; where nothing ran in a window, nothing is touched."""
    if not _timers:
        return
    while _timers:
        bpy.context.window_manager.event_timer_remove(_timers.pop())
    clear_status()
    redraw()
