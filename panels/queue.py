"""The queue in the sidebar: what runs, what waits, what was left unfinished."""

import bpy

from ..scene import queue
from ..scene.current_run import duration
from . import catalogue, parts

_STATES = {
    "waiting": "SORTTIME",
    "running": "RENDER_ANIMATION",
    "done": "CHECKMARK",
    "failed": "ERROR",
    "cancelled": "CANCEL",
}
_MOST = 30
"""Jobs of each kind that are listed; the number of the others stands below."""


class _Queue(parts.Sidebar):
    bl_label = "Queue"

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        jobs, now, left = queue.jobs(), queue.current(), queue.unfinished()
        row = layout.row(align=True)
        row.operator("fathom.add_to_queue", icon="ADD")
        if now is None:
            row.operator("fathom.start_queue", text="Start", icon="PLAY")
        else:
            row.operator("fathom.pause_queue", text="Pause", icon="PAUSE")  # how far it is stands above, as of any run
        _draw_time_left(layout, jobs, width=width)
        for place, queued in enumerate(jobs[:_MOST]):
            _draw_job(layout.box(), queued, is_first=place == 0, is_last=place == len(jobs) - 1, width=width)
        if len(jobs) > _MOST:
            layout.label(text=f"and {len(jobs) - _MOST} more")
        if any(queued.state not in ("waiting", "running") for queued in jobs):
            layout.operator("fathom.clear_queue", text="Clear What Is Over", icon="TRASH")
        if left:
            layout.label(text="Left unfinished", icon="RECOVER_LAST")
        for queued, share in left[:_MOST]:
            row = layout.row(align=True)
            row.label(text=f"{queued.label} ({int(100 * share)} %)", translate=False)
            row.operator("fathom.resume_job", text="Resume", icon="PLAY").job = queued.id
            row.operator("fathom.remove_from_queue", text="", icon="X").job = queued.id
        if len(left) > _MOST:
            layout.label(text=f"and {len(left) - _MOST} more")


def _seconds(queued):
    facts = catalogue.facts(queued.job.estimator)
    return queue.known_seconds(queued, facts.default_size if facts else None)


def _draw_time_left(layout, jobs, *, width):
    """How long all that runs and waits will take, as far as is known."""
    times = [_seconds(queued) for queued in jobs if queued.state in ("waiting", "running")]
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return
    unknown = len(times) - len(known)
    others = f", and {unknown} of unknown length" if unknown else ""
    jobs_known = "1 job" if len(known) == 1 else f"{len(known)} jobs"
    parts.draw_text(layout, f"About {duration(sum(known))} left for {jobs_known}{others}", icon="TIME", width=width)


def _draw_job(box, queued, *, is_first, is_last, width):
    row = box.row(align=True)
    name = f"{queued.label} ({catalogue.label(queued.job.estimator)})"
    row.label(text=name, icon=_STATES[queued.state], translate=False)
    if queued.state == "waiting":
        for by, icon, is_possible in ((-1, "TRIA_UP", not is_first), (1, "TRIA_DOWN", not is_last)):
            part = row.row(align=True)
            part.enabled = is_possible
            button = part.operator("fathom.move_in_queue", text="", icon=icon)
            button.job, button.by = queued.id, by
    if queued.state in ("failed", "cancelled"):
        row.operator("fathom.retry_in_queue", text="", icon="FILE_REFRESH").job = queued.id
    if queued.state == "failed":
        row.operator("fathom.open_log", text="", icon="TEXT").job = queued.id
    if queued.state == "done":
        row.operator("fathom.load_queued_depth", text="", icon="IMPORT").job = queued.id
    row.operator("fathom.remove_from_queue", text="", icon="X").job = queued.id
    seconds = _seconds(queued) if queued.state == "waiting" else None
    if seconds is not None:
        parts.draw_text(box, f"About {duration(seconds)}", width=width)
    if queued.message:
        parts.draw_advice(box, queued.message, icon="NONE", width=width, quotes=True)


class FATHOM_PT_sequencer_queue(_Queue, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"


class FATHOM_PT_clip_queue(_Queue, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"


CLASSES = (FATHOM_PT_sequencer_queue, FATHOM_PT_clip_queue)
