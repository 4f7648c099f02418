"""The operators that give an estimate mattes: made of the people in the clip, of a strip's images, of a mask."""

import dataclasses

import bpy
from bpy.props import BoolProperty, StringProperty

from ..inference.contract import made_mattes
from ..inference.contract.untrusted import readable
from ..scene import known, mask_images, matte_making, output, preferences, source, versions, weights
from ..scene import settings as settings_module
from ..scene.depth import portable_path, require_own
from ..scene.problems import PROBLEMS
from .arguments import argument
from .modal_run import Follows
from .plate_operator import OnPlate, OnShown
from .reporting import report_error, reporting
from .weights import WIDTH, draw_facts, draw_lines, listed

_FINDS = "People are found by a network that runs on this computer. It is no part of Fathom, and is downloaded once:"


class FATHOM_OT_make_mattes(OnPlate, Follows, bpy.types.Operator):
    """Find the people in the strip or clip with a network, write mattes of them beside its depth, and use them"""

    bl_idname = "fathom.make_mattes"
    bl_label = "Make Mattes"
    bl_options = {"UNDO"}
    cancelled_note = "What was finished is saved: Make Mattes continues from there."

    download: argument(BoolProperty, "Download", "Get the matte network, and the packages that run it, where missing")
    licenses: argument(
        StringProperty, "Licenses", "Names of the licenses that you accept for that, separated by commas"
    )
    new_version: argument(BoolProperty, "New Version", "Make them again also where they are there already")

    _folder = None
    _scene = 0
    """Session number of the scene that asked."""

    @classmethod
    def description(cls, context, properties):
        """The tooltip."""
        return cls.__doc__ if not properties.new_version else "Make the mattes again, into a new folder"

    def invoke(self, context, event):
        """Ask before anything is downloaded."""
        if bpy.app.background or self.download:
            return super().invoke(context, event)
        try:
            _job, place = self._prepare(context)
            kinds = {each.kind for each in matte_making.missing()} if place.standing != "finished" else set()
        except (OSError, *PROBLEMS) as problem:
            return report_error(self, problem)
        if not kinds:
            return super().invoke(context, event)
        wanted = _arguments(self) if self.filepath else _arguments(self) | self._named(context)
        bpy.ops.fathom.get_mattes("INVOKE_DEFAULT", packages="packages" in kinds, weights="weights" in kinds, **wanted)
        return {"CANCELLED"}  # the dialog goes on

    def begin(self, context):
        """The mattes' job; nothing to run where they are there already."""
        require_own(context.scene, "scene")
        job, place, taken = output.take(lambda: self._prepare(context))
        self._folder, self._scene = place.folder, context.scene.session_uid
        if place.standing == "finished":
            self.finish(context)
            return None
        verb = "Finishing" if place.standing == "unfinished" else "Making"
        name = self.find_plate(context).name
        steps = matte_making.steps(job, taken=taken, download=self.download, licences=listed(self.licenses))
        return f"{verb} the mattes of {name}", steps

    def finish(self, context):
        """Use them in the scene that asked."""
        scene = next((s for s in bpy.data.scenes if s.session_uid == self._scene), context.scene)
        scene.fathom.mattes = portable_path(self._folder)
        there = "were there already" if self._run is None else "are used"
        self.report({"INFO"}, readable(f"The mattes in {self._folder} {there}"))

    def _prepare(self, context):
        settings = settings_module.from_scene(context.scene)
        if self.filepath or self.frames:  # which name their frames themselves
            settings = dataclasses.replace(settings, frames=None)
        plate, root = self.find_plate(context), self.root(context.scene)
        return matte_making.prepare(plate, settings, root=root, new_version=self.new_version, asked=True)

    def _named(self, context):
        """What is in front of the artist, by name where it has one: the dialog lies over another place."""
        shown, scene = self.shown(context)
        if isinstance(shown, bpy.types.MovieClip):
            return {"clip": shown.name}
        is_found = versions.strips_of(scene.sequence_editor).get(shown.name) == shown  # not inside a meta strip
        return {"strip": shown.name} if is_found else {}


def _arguments(operator):
    """What one of the two operators is about, for the other."""
    names = ("strip", "clip", "filepath", "stream", "frames", "output", "new_version")
    return {name: getattr(operator, name) for name in names}


class FATHOM_OT_get_mattes(OnPlate, bpy.types.Operator):
    """Show what the matte network takes and its license; download it once you accept it, and make mattes"""

    bl_idname = "fathom.get_mattes"
    bl_label = "Download the Matte Network"
    bl_options = {"INTERNAL"}

    packages: argument(BoolProperty, "Packages", "Packages are missing")
    weights: argument(BoolProperty, "Weights", "Weights are missing")
    new_version: argument(BoolProperty, "New Version")
    accept: argument(BoolProperty, "I accept the license", "Needed to download the network")

    def invoke(self, context, event):
        try:
            self._facts()
        except PROBLEMS as problem:
            return report_error(self, problem)
        return context.window_manager.invoke_props_dialog(
            self, width=WIDTH, title=self.bl_label, confirm_text="Download and Make Mattes"
        )

    def draw(self, context):
        layout = self.layout
        draw_lines(layout, _FINDS)
        if self.packages:
            draw_lines(layout.box(), made_mattes.PACKAGES, icon="IMPORT")
        for facts in self._facts():
            draw_facts(layout, facts)
            if facts.licence.needs_acceptance:
                layout.box().prop(self, "accept")
        reason = preferences.offline_reason()
        if reason is not None:
            draw_lines(layout, reason, icon="INTERNET_OFFLINE")

    @reporting
    def execute(self, context):
        found = self._facts()
        if any(facts.licence.needs_acceptance for facts in found) and not self.accept:
            return report_error(self, "Nothing was downloaded, because the license was not accepted: tick the box.")
        return bpy.ops.fathom.make_mattes(
            "EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT",
            download=True,
            licenses=",".join(facts.licence.name for facts in found),
            **_arguments(self),
        )

    def _facts(self):
        return weights.facts_of([made_mattes.WEIGHTS]) if self.weights else []


class FATHOM_OT_use_mattes(OnShown, bpy.types.Operator):
    """Take the images of the other selected strip as mattes: white on what moves, with the clip's frame numbers"""

    bl_idname = "fathom.use_mattes"
    bl_label = "Use Strip as Mattes"
    bl_options = {"UNDO"}

    @reporting
    def execute(self, context):
        sequencer = versions.sequencer_scene(context)
        strip = self.shown(context)[0] if self.strip else known.selected_strip(sequencer)
        known.use_mattes_of_strip(context.scene, strip, sequencer)
        return {"FINISHED"}


class FATHOM_OT_use_mask(OnShown, bpy.types.Operator):
    """Write a mask as mattes of the clip, beside its depth, and use them; Blender waits while it does"""

    bl_idname = "fathom.use_mask"
    bl_label = "Use Mask as Mattes"
    bl_options = {"UNDO"}

    mask: argument(StringProperty, "Mask", "Name of a mask of this file; empty: the only one, or the editor's")

    @reporting
    def execute(self, context):
        shown, sequencer = self.shown(context)
        mask = known.mask_of(self.mask or getattr(getattr(context.space_data, "mask", None), "name", ""))
        plate = source.in_range(source.from_shown(shown, sequencer), settings_module.from_scene(context.scene).frames)
        parent = output.root_folder(context.scene.fathom.output) / output.clip_folder(plate.name)
        folder = mask_images.rasterize(mask, plate, mask_images.own_folder(parent, mask, plate))
        context.scene.fathom.mattes = portable_path(folder)
        self.report({"INFO"}, readable(f"The mattes are in {folder}"))
        return {"FINISHED"}


CLASSES = (
    FATHOM_OT_make_mattes,
    FATHOM_OT_get_mattes,
    FATHOM_OT_use_mattes,
    FATHOM_OT_use_mask,
)
