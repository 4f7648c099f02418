"""The operators of a render farm: send clips to it, and look for what it has merged."""

from dataclasses import replace

import bpy

from ..inference.contract.untrusted import readable
from ..scene import depth_list, farm, output, preferences, source, subject
from ..scene.depth import require_own
from ..scene.farm import Farm, Sent
from .arguments import argument, path_argument
from .estimate import Estimates
from .reporting import reporting


class FATHOM_OT_submit(Estimates, bpy.types.Operator):
    """Send the selected strips, or the clip that is shown, to a render farm, with the settings as they are now"""

    bl_idname = "fathom.submit"
    bl_label = "Send to Farm"
    cancelled_note = "The farm has no job of it."

    target: argument(bpy.props.StringProperty, "Farm", "OPENJD, FLAMENCO or DEADLINE; empty: the preferences'")
    bundles: path_argument("Job Folder", "Folder of what the farm gets; empty: the preferences'", "DIR_PATH")
    chunk_minutes: argument(
        bpy.props.FloatProperty,
        "Chunk Length",
        "What a chunk takes, about, in minutes; 0: Fathom's choice; not set: the preferences'",
        min=0.0,
    )

    _sent: Sent | None = None
    _sends = False

    def begin(self, context):
        """The clips and their job; nothing to run where all their depth is there already."""
        require_own(context.scene, "scene")  # the depth is to be listed there
        wanted = self._wanted(context)
        chosen = self._farm()
        self._scene = context.scene.session_uid
        self._sent = farm.prepare(wanted, chosen, root=self.root(context.scene), new_version=self.new_version)
        self._sends = chosen.sends
        if not self._sent.jobs:
            self.finish(context)
            return None
        running = farm.steps(self._sent, chosen, python=preferences.worker_python(), home=preferences.data_folder())
        return self._sent.name.replace("Depth", "Sending the depth", 1), running, None, None

    def finish(self, context):
        """Put what was sent on the list of the scene that it was asked for in, as pending."""
        scene = next((s for s in bpy.data.scenes if s.session_uid == self._scene), context.scene)
        farm.remember(scene, self._sent)
        if not self._sent.jobs:
            names = ", ".join(plate.name for plate, _ in self._sent.there)
            self.report({"INFO"}, readable(f"The depth of {names} was there already"))
            return
        done = "The farm has the job" if self._sends else "The job is to be submitted"
        self.report({"INFO"}, readable(f"{done}: {self._sent.bundle}"))

    def _wanted(self, context):
        """The plates, each with its settings."""
        if self.filepath:
            plates = [self.find_plate(context)]
        else:
            shown = subject.selected_in(context, strip=self.strip, clip=self.clip)
            plates = [source.from_shown(*each, self.frames) for each in shown]
        return [(plate, self._settings(context.scene, plate)) for plate in plates]

    def _farm(self) -> Farm:
        """The preferences', but for what the call names."""
        chosen = farm.from_preferences()
        named = {}
        if self.target:
            named["target"] = farm.named(self.target)
        if self.bundles:
            named["folder"] = output.root_folder(self.bundles)
        if self.properties.is_property_set("chunk_minutes"):
            named["chunk_seconds"] = 60.0 * self.chunk_minutes
        return replace(chosen, **named)


class FATHOM_OT_check_farm(bpy.types.Operator):
    """Look now whether the farm has merged depth of this file"""

    bl_idname = "fathom.check_farm"
    bl_label = "Check Now"
    bl_options = {"UNDO"}

    @reporting
    def execute(self, context):
        for item in context.scene.fathom.depths:
            if item.is_pending:
                depth_list.ask(item)
        count = farm.look()
        were = "1 depth was" if count == 1 else f"{count} depths were"
        self.report({"INFO"}, f"{were} loaded" if count else "None is merged yet")
        return {"FINISHED"}


CLASSES = (FATHOM_OT_submit, FATHOM_OT_check_farm)
