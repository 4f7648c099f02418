"""The operators of the queue: add clips, run, pause, reorder, cancel, retry, resume what was left unfinished."""

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

from ..inference.contract.untrusted import readable
from ..scene import output, queue, source, subject
from ..scene import settings as settings_module
from ..scene.depth import require_own
from ..scene.problems import PROBLEMS
from .arguments import argument
from .modal_run import print_events
from .reporting import report_error, reporting


class FATHOM_OT_add_to_queue(bpy.types.Operator):
    """Add the selected strips, or the clip that is shown, to the queue, with the settings as they are now"""

    bl_idname = "fathom.add_to_queue"
    bl_label = "Add to Queue"

    strip: argument(StringProperty, "Strip", "Name of a strip, instead of those that are selected")
    clip: argument(StringProperty, "Clip", "Name of a movie clip, instead of the one that is shown")
    new_version: argument(BoolProperty, "New Version", "Also where this depth is there already")

    @reporting
    def execute(self, context):
        require_own(context.scene, "scene")  # the depth is to be listed there
        settings = settings_module.from_scene(context.scene)
        root = output.root_folder(context.scene.fathom.output)
        added, there, failed = [], [], []
        for shown, scene in subject.selected_in(context, strip=self.strip, clip=self.clip):
            try:
                plate = source.from_shown(shown, scene)
                queued = queue.add(plate, settings, root=root, scene=context.scene, new_version=self.new_version)
                (added if queued else there).append(plate.name)
            except PROBLEMS as problem:
                failed.append(str(problem))
        if not (added or there):
            return report_error(self, " ".join(failed))
        for problem in failed:
            self.report({"WARNING"}, readable(problem))
        sentences = [f"{', '.join(added)} waits in the queue"] if added else []
        sentences += [f"the depth of {', '.join(there)} was there already"] if there else []
        self.report({"INFO"}, readable("; ".join(sentences)))
        return {"FINISHED"}


class FATHOM_OT_start_queue(bpy.types.Operator):
    """Estimate what waits in the queue, one after the other; you can go on working, and open other files"""

    bl_idname = "fathom.start_queue"
    bl_label = "Start Queue"

    @classmethod
    def poll(cls, context):
        if not any(queued.state == "waiting" for queued in queue.jobs()):
            cls.poll_message_set("Nothing waits in the queue: add clips to it")
            return False
        return True

    @reporting
    def execute(self, context):
        if not bpy.app.background:
            queue.start()
            return {"FINISHED"}
        failed = [queued for queued in queue.run_all(print_events()) if queued.state != "done"]
        if failed:
            return report_error(self, " ".join(queued.message or f"{queued.label} was cancelled." for queued in failed))
        return {"FINISHED"}


class FATHOM_OT_pause_queue(bpy.types.Operator):
    """Stop the queue: what the running job has finished is saved, and Start Queue goes on from there"""

    bl_idname = "fathom.pause_queue"
    bl_label = "Pause Queue"

    @classmethod
    def poll(cls, context):
        if queue.current() is None:
            cls.poll_message_set("The queue is not running")
            return False
        return True

    def execute(self, context):
        queue.pause()
        return {"FINISHED"}


class _OnJob:
    """Mix-in: an operator for one job of the queue."""

    bl_options = {"INTERNAL"}  # without a job, so in the search, it would do nothing

    job: argument(StringProperty, "Job", "Which job of the queue")


class FATHOM_OT_move_in_queue(_OnJob, bpy.types.Operator):
    """Move this job in the queue"""

    bl_idname = "fathom.move_in_queue"
    bl_label = "Move in Queue"

    by: argument(IntProperty, "Places", "How many places, towards the end of the queue", default=1)

    @reporting
    def execute(self, context):
        queue.move(self.job, self.by)
        return {"FINISHED"}


class FATHOM_OT_remove_from_queue(_OnJob, bpy.types.Operator):
    """Cancel this job, or take it off the list; what it has finished stays on the disk"""

    bl_idname = "fathom.remove_from_queue"
    bl_label = "Remove from Queue"

    @reporting
    def execute(self, context):
        queue.remove(self.job)
        return {"FINISHED"}


class FATHOM_OT_retry_in_queue(_OnJob, bpy.types.Operator):
    """Try this job again; what it has finished is resumed"""

    bl_idname = "fathom.retry_in_queue"
    bl_label = "Retry"

    @reporting
    def execute(self, context):
        queue.retry(self.job)
        return {"FINISHED"}


class FATHOM_OT_resume_job(_OnJob, bpy.types.Operator):
    """Go on with a job that was left unfinished, in the queue"""

    bl_idname = "fathom.resume_job"
    bl_label = "Resume"

    @reporting
    def execute(self, context):
        queue.resume(self.job)
        return {"FINISHED"}


class FATHOM_OT_load_queued_depth(_OnJob, bpy.types.Operator):
    """Put the depth of this job on the scene's list"""

    bl_idname = "fathom.load_queued_depth"
    bl_label = "Load Depth"
    bl_options = {"INTERNAL", "UNDO"}

    @reporting
    def execute(self, context):
        queue.load_result(self.job, context.scene)
        return {"FINISHED"}


class FATHOM_OT_clear_queue(bpy.types.Operator):
    """Take off the list what is over"""

    bl_idname = "fathom.clear_queue"
    bl_label = "Clear Queue"

    def execute(self, context):
        queue.clear()
        return {"FINISHED"}


class FATHOM_OT_open_log(_OnJob, bpy.types.Operator):
    """Open the log of this job in Blender's text editor"""

    bl_idname = "fathom.open_log"
    bl_label = "Open Log"

    @reporting
    def execute(self, context):
        path = queue.log_of(self.job)
        log = queue.read_log(path)
        text = bpy.data.texts.new(readable(f"{path.parent.parent.name} {path.parent.name} log"))
        text.from_string(log)
        self.report({"INFO"}, f"{text.name} is among the texts of the Text Editor")
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_add_to_queue,
    FATHOM_OT_start_queue,
    FATHOM_OT_pause_queue,
    FATHOM_OT_move_in_queue,
    FATHOM_OT_remove_from_queue,
    FATHOM_OT_retry_in_queue,
    FATHOM_OT_resume_job,
    FATHOM_OT_load_queued_depth,
    FATHOM_OT_clear_queue,
    FATHOM_OT_open_log,
)
