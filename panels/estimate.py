"""The sidebar tab Fathom of the Sequencer and the Movie Clip Editor: a clip in, depth out."""

import json

import bpy

from ..inference.contract.catalogue import COMPLETE, COMPLETE_FROM
from ..scene import current_run, depth_list, farm, preferences, presets, source, subject
from ..scene.settings import group_name
from ..scene.source import SourceError
from ..scene.versions import lacks_sequencer_scene, sequencer_scene, strips_of
from . import catalogue, parts


class FATHOM_MT_estimators(bpy.types.Menu):
    bl_label = "Estimator"
    bl_description = "How depth is estimated"

    def draw(self, context):
        for facts in catalogue.estimators():
            icon = "CHECKMARK" if facts.name == context.scene.fathom.estimator else "BLANK1"
            choose = self.layout.operator("wm.context_set_string", text=facts.label or facts.name, icon=icon)
            choose.data_path, choose.value = "scene.fathom.estimator", facts.name


class FATHOM_MT_complete_from(bpy.types.Menu):
    bl_label = "Complete From"
    bl_description = "Choose among the depths of this clip that are on the list"

    def draw(self, context):
        name = context.scene.fathom.estimator
        try:
            plate = source.from_shown(*subject.shown_in(context)).source
            found = depth_list.of_clip(context.scene, plate)
        except SourceError:
            found = []
        if not found:
            self.layout.label(text="No depth of this clip is on the list", icon="INFO")
        for label, folder in found:
            choose = self.layout.operator("wm.context_set_string", text=label, icon="IMAGE_ZDEPTH", translate=False)
            choose.data_path, choose.value = f"scene.{group_name(name)}.{COMPLETE_FROM}", str(folder)


class _Estimate(parts.Sidebar):
    bl_label = "Video Depth"

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        settings = context.scene.fathom
        name, icon = self.subject(context)
        if icon == "INFO":
            parts.draw_text(layout, name, icon=icon, width=width)
        else:
            layout.label(text=name, icon=icon, translate=False)
        run = current_run.current()
        if run is not None:
            parts.draw_run(layout, run, width=width)
            return
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        facts = catalogue.facts_in(context.scene)
        _draw_estimator(column, settings.estimator, facts)
        if facts and facts.presets:
            _draw_presets(column, context.scene, facts)
        _draw_camera(column, settings)
        column.prop(settings, "output")
        _draw_unsaved(layout, settings.output, width=width)
        environment = preferences.known()
        can_run = parts.draw_environment(layout, environment, settings.estimator, width=width)
        if facts and can_run:
            parts.draw_requirements(layout, facts, environment, width=width)
        about = subject.in_front(context)
        column = layout.column(align=True)
        column.enabled = can_run and icon != "INFO"
        row = column.row(align=True)
        row.scale_y = 1.4
        text = _verb(subject.known_unfinished(about))
        row.operator("fathom.estimate_video_depth", text=text, icon="RENDER_ANIMATION")
        row = column.row(align=True)
        try_it = row.operator("fathom.preview_frame", icon="VIEWZOOM")
        try_it.count = facts.preview_frames if facts else 24
        row.operator("fathom.submit", icon="NETWORK_DRIVE")
        for line in subject.known_outlook(about, facts) if can_run else ():
            parts.draw_text(layout, line, icon="TIME", width=width)
        parts.draw_last(layout, about, facts, width=width)


def _draw_unsaved(layout, output, *, width):
    """What stands in the way of an output folder beside a file that is not saved, and the button that saves it."""
    if output.startswith("//") and not bpy.data.filepath:
        parts.draw_text(layout, "Save this file, so that its depth has a folder beside it", icon="INFO", width=width)
        save = layout.operator("wm.save_as_mainfile", text="Save As…", icon="FILE_TICK")
        save.check_existing = True


def _verb(unfinished):
    """What the button does, as things stand on the disk."""
    if unfinished is None:
        return "Estimate Video Depth"
    share = int(100 * unfinished)  # never 100 % before it is
    return f"Resume ({share} %)" if share else "Resume"


def _draw_estimator(layout, name, facts):
    """The choice of the estimator, laid out as a property is."""
    split = layout.split(factor=0.4)
    label = split.row()
    label.alignment = "RIGHT"
    label.label(text="Estimator")
    split.menu("FATHOM_MT_estimators", text=facts.label or name if facts else f"{name} (not installed)")


def _draw_presets(layout, scene, facts):
    """A button for each level of quality, pressed where the settings are its."""
    row = layout.row(align=True)
    for preset in facts.presets:
        values = presets.values_of(facts, preset)
        button = row.operator(
            "fathom.use_preset", text=preset.name.capitalize(), depress=presets.is_chosen(scene, facts, preset)
        )
        button.size, button.full_size = values["size"], values["full_size"]
        button.parameters = json.dumps(values["parameters"])


class _Settings(parts.Sidebar):
    bl_label = "Settings"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        width = context.region.width
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = current_run.current() is None
        settings = context.scene.fathom
        facts = catalogue.facts_in(context.scene)
        _draw_range(layout.column(heading="Range"), settings)
        column = layout.column()
        column.prop(settings, "cuts")
        if settings.cuts == "FRAMES":
            column.prop(settings, "cut_frames")
        column.prop(settings, "size")
        if facts:
            parts.draw_text(column, _about_size(settings.size, facts), width=width)
        column.prop(settings, "full_size")
        column.prop(settings, "preview_length")
        if facts and not settings.preview_length:
            parts.draw_text(column, f"{facts.label} is previewed on {facts.preview_frames} frames", width=width)
        column.prop(settings, "seed")
        _draw_mattes(layout.column(), settings)
        _draw_focal_length(layout.column(heading="Known Focal Length"), settings)
        _draw_parameters(layout.column(), context, advanced=False)
        if facts and facts.licence:
            parts.draw_text(layout, f"License: {facts.licence}", width=width)
        again = layout.operator("fathom.estimate_video_depth", text="Estimate into New Version", icon="DUPLICATE")
        again.new_version = True


def _about_size(size, facts):
    """What becomes of the processing resolution, where 0 or another number does not say it."""
    works = f"{facts.label} works at {facts.default_size} px" if not size and facts.default_size else ""
    if not facts.depth_size:
        return works
    largest = f"finds depth itself at {facts.depth_size} px at most"
    return f"{works} and {largest}" if works else f"{facts.label} {largest}"


def _draw_range(column, settings):
    row = column.row(align=True)
    row.prop(settings, "use_range", text="")
    row.operator("fathom.set_range", text="", icon="PREVIEW_RANGE").what = "SCENE"
    fields = column.column(align=True)
    fields.active = settings.use_range
    for name, what, icon in (("range_start", "START", "TRIA_RIGHT_BAR"), ("range_end", "END", "TRIA_LEFT_BAR")):
        line = fields.row(align=True)
        line.prop(settings, name)
        line.operator("fathom.set_range", text="", icon=icon).what = what


def _draw_mattes(column, settings):
    row = column.row(align=True)
    row.prop(settings, "mattes")
    row.operator("fathom.use_mattes", text="", icon="SEQ_SEQUENCER")
    row.operator("fathom.use_mask", text="", icon="MOD_MASK")
    column.operator("fathom.make_mattes", text="Make Mattes of People", icon="USER")


def _draw_camera(column, settings):
    """The solved camera that is used, with what removes it; else what uses one."""
    row = column.row(align=True)
    if settings.camera == "NONE":
        row.operator("fathom.use_solved_camera", icon="TRACKER").what = "SOLVE"
        row.operator("fathom.use_solved_camera", text="", icon="CAMERA_DATA").what = "CAMERA"
        row.operator("fathom.use_camera_file", text="", icon="FILE_FOLDER")
        return
    row.prop(settings, "camera")
    row.operator("fathom.use_solved_camera", text="", icon="X").what = "NONE"
    column.prop(settings, _CAMERAS[settings.camera])
    if settings.camera == "FILE" and settings.camera_file.lower().endswith(".chan"):
        column.prop(settings, "rotation_order")


_CAMERAS = {"SOLVE": "camera_clip", "CAMERA": "camera_object", "FILE": "camera_file"}
"""The property that names a solved camera of each kind."""


def _draw_focal_length(column, settings):
    is_chan = settings.camera == "FILE" and settings.camera_file.lower().endswith(".chan")
    column.active = settings.camera == "NONE" or is_chan  # a solved camera has its own lens
    row = column.row()
    row.prop(settings, "use_focal_length", text="")
    for part, name, text in ((row.row(), "focal_length", ""), (column.column(), "sensor_width", "Sensor Width")):
        part.active = settings.use_focal_length
        part.prop(settings, name, text=text)
    for what, icon in (("CLIP", "TRACKER"), ("CAMERA", "CAMERA_DATA")):
        row.operator("fathom.use_lens", text="", icon=icon).what = what


class _Farm(parts.Sidebar):
    bl_label = "Render Farm"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = current_run.current() is None
        chosen = preferences.render_farm()
        if chosen is None:
            return
        column = layout.column()
        column.prop(chosen, "target")
        column.prop(chosen, "submits")
        if chosen.target == "FLAMENCO":
            part = column.column()
            part.active = chosen.submits
            part.prop(chosen, "manager")
        column.prop(chosen, "chunk_minutes")
        length = "Minutes for each task" if chosen.chunk_minutes else "Fathom chooses how long a task takes"
        parts.draw_text(column, length, width=context.region.width)
        column.prop(chosen, "folder", placeholder="farm, beside the depth")
        for name in ("python", "fathom"):
            column.prop(chosen, name, placeholder="As on this computer")
        if chosen.submits and farm.known_client(chosen.target) is False:
            what = f"The command {farm.CLIENTS[chosen.target]} is not installed here: the job is written to its folder"
            parts.draw_text(layout, what, icon="INFO", width=context.region.width)


class _Advanced(parts.Sidebar):
    bl_label = "Advanced"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return any(parameter.advanced for parameter in _parameters(context))

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = current_run.current() is None
        _draw_parameters(layout.column(), context, advanced=True)


def _parameters(context):
    """The parameters of the chosen estimator that the scene has properties for."""
    name = context.scene.fathom.estimator
    facts = catalogue.facts(name)
    return facts.parameters if facts is not None and hasattr(context.scene, group_name(name)) else ()


def _draw_parameters(column, context, *, advanced):
    name, parameters = context.scene.fathom.estimator, _parameters(context)
    if parameters and not advanced:
        column.label(text=catalogue.facts(name).label)
    for parameter in parameters:
        if parameter.advanced == advanced:
            _draw_parameter(column, getattr(context.scene, group_name(name)), parameter.name)


def _draw_parameter(column, group, name):
    if name == COMPLETE:
        best = catalogue.best_network()
        column.prop(group, name, text=f"Complete with {best.label if best else 'Learned Depth'}")
        return
    row = column.row(align=True)
    row.prop(group, name)
    if name == COMPLETE_FROM:
        row.menu("FATHOM_MT_complete_from", text="", icon="DOWNARROW_HLT")


_ADD = "Add your clip to the Sequencer: Add > Movie, or Add > Image/Sequence"


class FATHOM_PT_sequencer(_Estimate, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"

    def subject(self, context):
        """What would be estimated, and its icon."""
        if lacks_sequencer_scene(context):
            return "Choose a scene, or press New, in the middle of the Sequencer's header", "INFO"
        editor = sequencer_scene(context).sequence_editor
        strip = editor.active_strip if editor else None
        if strip is None:
            is_empty = editor is None or not len(strips_of(editor))
            return _ADD if is_empty else "Select a movie, image or clip strip", "INFO"
        if strip.type not in subject.STRIPS:
            return f"{strip.name} shows no clip", "INFO"
        return strip.name, "SEQUENCE"


class FATHOM_PT_sequencer_settings(_Settings, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"
    bl_parent_id = "FATHOM_PT_sequencer"


class FATHOM_PT_sequencer_farm(_Farm, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"
    bl_parent_id = "FATHOM_PT_sequencer"


class FATHOM_PT_sequencer_advanced(_Advanced, bpy.types.Panel):
    bl_space_type = "SEQUENCE_EDITOR"
    bl_parent_id = "FATHOM_PT_sequencer_settings"


class FATHOM_PT_clip(_Estimate, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"

    def subject(self, context):
        """What would be estimated, and its icon."""
        clip = context.space_data.clip
        return (clip.name, "TRACKER") if clip else ("Open a clip in this editor: Clip > Open Clip", "INFO")


class FATHOM_PT_clip_settings(_Settings, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"
    bl_parent_id = "FATHOM_PT_clip"


class FATHOM_PT_clip_farm(_Farm, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"
    bl_parent_id = "FATHOM_PT_clip"


class FATHOM_PT_clip_advanced(_Advanced, bpy.types.Panel):
    bl_space_type = "CLIP_EDITOR"
    bl_parent_id = "FATHOM_PT_clip_settings"


CLASSES = (
    FATHOM_MT_estimators,
    FATHOM_MT_complete_from,
    FATHOM_PT_sequencer,
    FATHOM_PT_sequencer_settings,
    FATHOM_PT_sequencer_advanced,
    FATHOM_PT_sequencer_farm,
    FATHOM_PT_clip,
    FATHOM_PT_clip_settings,
    FATHOM_PT_clip_advanced,
    FATHOM_PT_clip_farm,
)
