"""The operators that estimate depth, and cancel it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty

from ..inference.contract import client, queued_jobs, records
from ..inference.contract.catalogue import AUTOMATIC, LEARNED, QUICK, Fallback
from ..inference.contract.client import Steps
from ..inference.contract.job import Job, JobError
from ..inference.contract.queued_jobs import QueuedJob
from ..inference.contract.untrusted import readable
from ..scene import (
    current_run,
    depth_list,
    forecast,
    known,
    output,
    places,
    preferences,
    presets,
    preview,
    queue,
    quick,
    source,
    subject,
)
from ..scene import depth as depth_module
from ..scene import estimation as estimate_module
from ..scene import settings as settings_module
from ..scene.depth import portable_path, require_own
from ..scene.output import Place
from ..scene.problems import Problem
from ..scene.settings import Settings
from ..scene.source import Plate
from ..scene.viewing.shown import Target
from .arguments import argument, path_argument
from .depths import OnEntry
from .modal_run import Follows
from .plate_operator import OnPlate, OnShown
from .reporting import reporting

_RANGES = {
    "START": "Begin at the playhead",
    "END": "End at the playhead",
    "SCENE": "Take the scene's preview range where it is on, else its start and end",
}


class Estimates(OnPlate, Follows):
    """Mix-in of the operators that estimate the depth of a strip, a clip or a file."""

    bl_options = {"UNDO"}  # no REGISTER: adjusting the last operation would estimate again
    cancelled_note = "What was finished is saved: Resume continues from there."

    estimator: argument(StringProperty, "Estimator", "Name of the estimator; empty: the scene's")
    parameters: argument(
        StringProperty, "Parameters", "The estimator's parameters as a JSON object; empty: the scene's"
    )
    cuts: argument(
        StringProperty,
        "Cuts",
        "Where shots begin: auto, none, or their first frames such as 31,77; empty: the scene's",
    )
    size: argument(
        IntProperty,
        "Processing Resolution",
        "Long side in pixels, 0 for the estimator's own; not set: the scene's",
        min=0,
        subtype="PIXEL",
    )
    full_size: argument(BoolProperty, "Full Resolution", "Depth at the clip's size; not set: the scene's")
    seed: argument(IntProperty, "Seed", "Not set: the scene's", min=0)
    new_version: argument(
        BoolProperty, "New Version", "Estimate into a new folder also where this depth is there already"
    )

    _plate: Plate | None = None
    _folder: Path | None = None
    _noted: QueuedJob | None = None
    _job: Job | None = None
    """What is estimated from its beginning, whose time counts."""
    _scene = 0
    """Session number of the scene that asked: unlike its name it stays."""

    def begin(self, context):
        """The plate, its job and where it goes; nothing to run where the result is there already."""
        require_own(context.scene, "scene")  # the depth is to be listed there
        plate = self.find_plate(context)
        settings = self._settings(context.scene, plate)
        root = self.root(context.scene)
        job, place, taken = output.take(lambda: self._prepare(plate, settings, root))
        self._job = job if place.standing == "new" else None
        self._plate, self._folder, self._scene = plate, place.folder, context.scene.session_uid
        about = None
        if not (self.filepath or self.frames):
            about = subject.of(*self.shown(context), settings, str(root), scene=context.scene.name)
        if place.standing == "finished":
            self.finish(context)
            return None
        python, home = preferences.worker_python(), preferences.data_folder()
        self._note(job, context.scene)
        return (
            self._title(plate, is_begun=place.standing == "unfinished"),
            output.held(taken, self._steps(job, python, home)),
            about,
            _target(plate, job, place.folder),
        )

    def _prepare(self, plate, settings, root, *, new_version=None) -> tuple[Job, Place]:
        new_version = self.new_version if new_version is None else new_version
        return estimate_module.prepare(plate, settings, root=root, new_version=new_version, asked=True)

    def _note(self, job: Job, scene) -> None:
        """Have the job found by later sessions should it stay unfinished; it is estimated without a note as well."""
        try:
            self._noted = queue.note(job, self._plate, scene, state="running")
        except queue.QueueError as problem:
            self.report({"WARNING"}, readable(str(problem)))

    def _conclude(self, context):
        """A run that left nothing leaves no note."""
        ended = super()._conclude(context)
        if self._noted is not None and queued_jobs.share_done(self._noted) is None:
            queue.forget(self._noted)
        return ended

    def finish(self, context):
        """Put the depth on the list of the scene that it was asked for in."""
        scene = next((s for s in bpy.data.scenes if s.session_uid == self._scene), context.scene)
        self._list(scene, depth_module.load(self._folder, frame_offset=self._plate.frame_offset))
        if self._job is not None and self._run is not None and self._run.done is not None:
            forecast.note(self._job, self._run.done, home=preferences.data_folder())
        verb = "was" if self._run is None else "is"
        self.report({"INFO"}, readable(f"Depth of {self._plate.name} {verb} in {self._folder}"))

    _list = staticmethod(depth_list.remember)
    """Takes in the result: the scene and the depth."""

    def _steps(self, job: Job, python: Path, home: Path) -> Steps:
        return client.estimate(job, python=python, home=home)

    def _title(self, plate, *, is_begun) -> str:
        return f"{'Finishing' if is_begun else 'Estimating'} the depth of {plate.name}"

    def _settings(self, scene, plate) -> Settings:
        """The scene's settings, but for what the call names."""
        settings = settings_module.from_scene(scene)
        if self.estimator and self.estimator != settings.estimator:
            parameters = settings_module.parameters(scene, self.estimator)
            settings = dataclasses.replace(settings, estimator=self.estimator, parameters=parameters)
        if self.parameters:
            settings = dataclasses.replace(settings, parameters=_parameters(self.parameters))
        if self.filepath or self.frames:  # which name their frames themselves
            settings = dataclasses.replace(settings, frames=None)
        named = {name: getattr(self, name) for name in ("full_size", "seed") if self.properties.is_property_set(name)}
        if self.cuts:
            named["cuts"] = self.cuts
        if self.properties.is_property_set("size"):
            named["size"] = self.size or None
        return dataclasses.replace(settings, **named)


class FATHOM_OT_estimate_video_depth(Estimates, bpy.types.Operator):
    """Estimate the depth of every frame that the active strip or clip shows"""

    bl_idname = "fathom.estimate_video_depth"
    bl_label = "Estimate Video Depth"

    @classmethod
    def description(cls, context, properties):
        if properties.new_version:
            return "Estimate into a new folder, also where this depth is there already"
        return cls.__doc__


class FATHOM_OT_preview_frame(Estimates, bpy.types.Operator):
    """Estimate the frames around the playhead at a small size with these settings, and show their depth"""

    bl_idname = "fathom.preview_frame"
    bl_label = "Preview Frame"

    count: argument(IntProperty, "Count", "How many frames, where no length is set", default=24, min=1)
    seconds: argument(
        FloatProperty, "Length", "In seconds, 0 for so many frames; not set: the scene's", min=0.0, unit="TIME_ABSOLUTE"
    )
    _list = staticmethod(preview.show)

    def _title(self, plate, *, is_begun) -> str:
        return f"Previewing the depth of {plate.name}"

    def _prepare(self, plate, settings, root, *, new_version=None) -> tuple[Job, Place]:
        """A place of its own beside what another Blender, or another file, has previewed and may delete."""
        job, place = super()._prepare(plate, settings, root, new_version=new_version)
        if place.standing != "new" and not preview.is_own(place.folder):
            job, place = super()._prepare(plate, settings, root, new_version=True)
        return job, place

    def _note(self, job, scene) -> None:
        """No later session need finish a preview."""
        preview.take(Path(job.output))

    def root(self, scene) -> Path:
        return preview.root()

    def _settings(self, scene, plate) -> Settings:
        settings = super()._settings(scene, plate)
        seconds = self.seconds if self.properties.is_property_set("seconds") else scene.fathom.preview_length
        count = preview.count_of(seconds, plate, scene) or self.count
        return preview.settings_for(settings, plate, scene_frame=scene.frame_current, count=count)


class FATHOM_OT_use_preset(bpy.types.Operator):
    """Set the processing resolution and the chosen estimator's parameters for a quality"""

    bl_idname = "fathom.use_preset"
    bl_label = "Use Preset"
    bl_options = {"UNDO"}

    size: argument(IntProperty, "Processing Resolution", "Long side in pixels; 0: the estimator's own", min=0)
    full_size: argument(BoolProperty, "Full Resolution")
    parameters: argument(StringProperty, "Parameters", "As a JSON object; those that are not named stay")

    @reporting
    def execute(self, context):
        values = _parameters(self.parameters) if self.parameters else {}
        presets.apply(context.scene, size=self.size, full_size=self.full_size, parameters=values)
        return {"FINISHED"}


class FATHOM_OT_use_settings(OnEntry, bpy.types.Operator):
    """Set everything as it was when this depth was estimated: estimator, parameters, resolution, cuts and range"""

    bl_idname = "fathom.use_settings"
    bl_label = "Use These Settings"

    @reporting
    def execute(self, context):
        settings_module.to_scene(context.scene, depth_list.load(context.scene, self.depth))
        return {"FINISHED"}


class FATHOM_OT_set_range(bpy.types.Operator):
    """Estimate from, or to, the playhead, or what the scene's range has"""

    bl_idname = "fathom.set_range"
    bl_label = "Set Range"
    bl_options = {"UNDO"}

    what: argument(
        bpy.props.EnumProperty,
        "What",
        items=tuple((name, name.capitalize(), text) for name, text in _RANGES.items()),
    )

    @classmethod
    def description(cls, context, properties):
        """The tooltip: that of the choice."""
        return _RANGES[properties.what]

    def execute(self, context):
        settings_module.set_range(context.scene, self.what)
        return {"FINISHED"}


class FATHOM_OT_use_lens(OnShown, bpy.types.Operator):
    """Take focal length and sensor width from what Blender knows"""

    bl_idname = "fathom.use_lens"
    bl_label = "Use Lens"
    bl_options = {"UNDO"}

    what: argument(
        bpy.props.EnumProperty,
        "What",
        items=(
            ("CLIP", "Tracking Camera", "That of the clip"),
            ("CAMERA", "Scene Camera", "That which the scene looks through"),
        ),
    )

    @classmethod
    def description(cls, context, properties):
        """The tooltip: whose."""
        whose = "the clip's tracking camera" if properties.what == "CLIP" else "the camera that the scene looks through"
        return f"Take focal length and sensor width from {whose}"

    @reporting
    def execute(self, context):
        if self.what == "CAMERA":
            known.use_lens_of_camera(context.scene)
            return {"FINISHED"}
        shown, _scene = self.shown(context)
        known.use_lens_of_clip(context.scene, shown)
        return {"FINISHED"}


class FATHOM_OT_use_solved_camera(OnShown, bpy.types.Operator):
    """Estimate with the camera that is solved already, so that depth is in its units and stands in its scene"""

    bl_idname = "fathom.use_solved_camera"
    bl_label = "Use Solved Camera"
    bl_options = {"UNDO"}

    what: argument(
        bpy.props.EnumProperty,
        "What",
        items=(
            ("SOLVE", "Camera Solve", "The camera solve of the clip"),
            ("CAMERA", "Scene Camera", "A camera of the scene, whatever moves it"),
            ("NONE", "None", "No solved camera"),
        ),
    )
    solved_clip: argument(StringProperty, "Solved Clip", "Name of the clip with the solve, instead of the clip itself")
    camera: argument(StringProperty, "Camera", "Name of a camera, instead of that which the scene looks through")

    @classmethod
    def description(cls, context, properties):
        """The tooltip: that of the choice."""
        return {
            "CAMERA": "Estimate with the camera that the scene looks through, which moves as the clip's did",
            "NONE": "Estimate without a solved camera",
        }.get(properties.what, cls.__doc__)

    @reporting
    def execute(self, context):
        if self.what == "NONE":
            context.scene.fathom.camera = "NONE"
            return {"FINISHED"}
        found = known.use_solved_camera(
            context.scene,
            source.from_shown(*self.shown(context)),
            self.what,
            clip=_named(bpy.data.movieclips, self.solved_clip, "movie clip"),
            camera=_named(bpy.data.objects, self.camera, "object"),
        )
        self.report({"WARNING"} if found.missing else {"INFO"}, readable(known.describe_solved_camera(found)))
        return {"FINISHED"}


def _named(among, name, what):
    """A datablock of that name; None for no name, Problem where there is none."""
    if name and name not in among:
        raise Problem(f"There is no {what} {name} in this file: choose one of its own.")
    return among[name] if name else None


class FATHOM_OT_use_camera_file(OnShown, bpy.types.Operator):
    """Estimate with the camera in a file: one of Fathom's, a .chan file, or the folder of COLMAP's text files"""

    bl_idname = "fathom.use_camera_file"
    bl_label = "Use Camera File"
    bl_options = {"UNDO"}

    filepath: path_argument("File", "The camera file", "FILE_PATH")
    filter_glob: argument(StringProperty, "Files", default="*.json;*.chan;*.txt", options=frozenset({"HIDDEN"}))

    def invoke(self, context, _event):
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @reporting
    def execute(self, context):
        path = Path(bpy.path.abspath(self.filepath)).absolute()
        places.ask(path)
        plate = source.from_shown(*self.shown(context))
        found = known.use_solved_camera(context.scene, plate, "FILE", filepath=portable_path(path))
        self.report({"WARNING"} if found.missing else {"INFO"}, readable(known.describe_solved_camera(found)))
        return {"FINISHED"}


class FATHOM_OT_export_solved_camera(OnShown, bpy.types.Operator):
    """Write the solved camera as a file that estimates on another computer read with --camera"""

    bl_idname = "fathom.export_solved_camera"
    bl_label = "Export Solved Camera"

    filepath: path_argument("File", "The file to write, replaced where it is there", "FILE_PATH")
    filter_glob: argument(StringProperty, "Files", default="*.json", options=frozenset({"HIDDEN"}))

    @classmethod
    def poll(cls, context):
        cls.poll_message_set("Use a solved camera first")
        return context.scene.fathom.camera != "NONE"

    def invoke(self, context, _event):
        """Ask for the file."""
        self.filepath = self.filepath or "camera.json"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @reporting
    def execute(self, context):
        plate = source.from_shown(*self.shown(context))
        settings = settings_module.from_scene(context.scene)
        path = Path(bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".json"))
        known.export_camera(source.in_range(plate, settings.frames), settings, path)
        self.report({"INFO"}, readable(f"The camera is in {path}"))
        return {"FINISHED"}


class FATHOM_OT_get_quick_depth(Estimates, bpy.types.Operator):
    """Choose Quick, get what it needs, and estimate soft depth of the active strip or clip with it"""

    bl_idname = "fathom.get_quick_depth"
    bl_label = "Get Quick Depth"

    @classmethod
    def description(cls, context, properties):
        """The tooltip: what is downloaded, and under which license."""
        return f"{cls.__doc__}.\n{QUICK.terms}"

    def begin(self, context):
        """As any estimate, with Quick from now on; its weights come first."""
        self.estimator = QUICK.estimator
        begun = super().begin(context)
        context.scene.fathom.estimator = QUICK.estimator
        return begun

    def _steps(self, job: Job, python: Path, home: Path) -> Steps:
        return quick.estimate(job, python=python, home=home, offline=preferences.offline_reason())


class FATHOM_OT_get_network(Estimates, bpy.types.Operator):
    """Get the weights of a learned network, and estimate the active strip or clip with it where that is best"""

    bl_idname = "fathom.get_network"
    bl_label = "Get Network"
    bl_options = {"UNDO"}

    network: bpy.props.StringProperty(
        name="Network", description="Name of the network's estimator", default=QUICK.estimator, options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context, properties):
        """The tooltip: what is downloaded, and under which license."""
        found = _network(properties.network)
        return f"{cls.__doc__}.\n{found.terms}" if found else cls.__doc__

    def begin(self, context):
        """An estimate by Automatic, into a new folder where it was estimated without the network before."""
        if _network(self.network) is None:
            known = ", ".join(each.estimator for each in LEARNED)
            raise JobError(f"There is no network {self.network}: choose one of {known}.")
        self.estimator, self.new_version = AUTOMATIC.name, True
        begun = super().begin(context)
        context.scene.fathom.estimator = AUTOMATIC.name
        return begun

    def _steps(self, job: Job, python: Path, home: Path) -> Steps:
        offline = preferences.offline_reason()
        return quick.estimate(job, python=python, home=home, offline=offline, network=_network(self.network))


def _network(name: str) -> Fallback | None:
    return next((each for each in LEARNED if each.estimator == name), None)


class FATHOM_OT_cancel(bpy.types.Operator):
    """End what Fathom is doing; the frames that are finished stay"""

    bl_idname = "fathom.cancel_estimate"
    bl_label = "Cancel Run"

    @classmethod
    def poll(cls, context):
        run = current_run.current()
        if run is None or run.cancelling:
            cls.poll_message_set("Nothing is running" if run is None else "It is being cancelled")
            return False
        return True

    def execute(self, context):
        current_run.current().cancel()
        return {"FINISHED"}


class FATHOM_OT_show_frame(OnShown, bpy.types.Operator):
    """Go to the frame of the timeline that shows this frame of the clip"""

    bl_idname = "fathom.show_frame"
    bl_label = "Go to Frame"
    bl_options = {"REGISTER", "UNDO"}

    frame: argument(IntProperty, "Frame", "A frame of the clip")

    @reporting
    def execute(self, context):
        shown, scene = self.shown(context)
        plate = source.from_shown(shown, scene)
        scene.frame_set(self.frame + plate.frame_offset)
        return {"FINISHED"}


def _target(plate: Plate, job: Job, folder: Path) -> Target:
    """Where the frames of a job come in, which may be a part of the plate."""
    first, last = job.first_frame, job.last_frame
    start = plate.frame_offset + first
    return Target(folder, dataclasses.replace(plate, first_frame=first, last_frame=last, scene_start=start))


def _parameters(text: str) -> dict:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobError(f'The parameters are not valid JSON ({error}): write them as {{"name": value}}.') from error
    if not isinstance(found, dict):
        raise JobError('The parameters are no JSON object: write them as {"name": value}.')
    try:
        return records.from_json(_Given, {"parameters": found}, where="job", strict=True).parameters
    except records.RecordError as error:
        raise JobError(f"The job cannot be run: {error}.") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Given:
    """Parameters as a job has them: nothing goes deep into them before they are checked."""

    parameters: dict[str, Any]


CLASSES = (
    FATHOM_OT_estimate_video_depth,
    FATHOM_OT_preview_frame,
    FATHOM_OT_use_preset,
    FATHOM_OT_use_settings,
    FATHOM_OT_set_range,
    FATHOM_OT_use_lens,
    FATHOM_OT_use_solved_camera,
    FATHOM_OT_use_camera_file,
    FATHOM_OT_export_solved_camera,
    FATHOM_OT_get_quick_depth,
    FATHOM_OT_get_network,
    FATHOM_OT_cancel,
    FATHOM_OT_show_frame,
)
