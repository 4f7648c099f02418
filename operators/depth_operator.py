"""What operators that build from a depth have in common: which depth, and which of its shots."""

import bpy

from ..inference.contract.depth_sequence import Shot
from ..inference.contract.records import readable
from ..scene import depth as depth_module
from ..scene import depth_list, lookup, places
from ..scene.camera import CameraError
from ..scene.depth import Depth, DepthError
from ..scene.nodes import NodeError
from ..scene.plate import PlateError
from ..scene.versions import PATH_OPTIONS
from ..scene.wording import shown
from .reporting import report_error

_MOST_NAMED = 12
"""Things in one report."""


class OnDepth:
    """Mix-in: the operator gives `build`, which is called for each shot and returns what it built for the report."""

    problems: tuple[type[Exception], ...] = (DepthError, CameraError, PlateError, NodeError)
    _warned: frozenset[str] = frozenset()

    depth: bpy.props.IntProperty(
        name="Depth",
        description="Place in the scene's list of depths, from 0; -1: the active one",
        default=-1,
        min=-1,
        options={"SKIP_SAVE"},
    )
    folder: bpy.props.StringProperty(
        name="Folder",
        description="Folder of a depth sequence, instead of one on the list",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    all_shots: bpy.props.BoolProperty(
        name="All Shots", description="One setup for every shot, instead of the one under the playhead", default=False
    )

    @classmethod
    def poll(cls, context):
        if context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
            return False
        return True

    def execute(self, context):
        """Build for the shots that are asked for; one that cannot be built does not hold up the others.

        What is built is one undo step, so CANCELLED, which is none, says that nothing was.
        """
        with lookup.caching():
            return OnDepth._execute(self, context)

    def warn_once(self, sentence: str) -> None:
        """Report a warning that may hold for many shots."""
        if sentence not in self._warned:
            self._warned = self._warned | {sentence}
            self.report({"WARNING"}, shown(sentence))

    def _execute(self, context):
        built, failed = [], []
        self._warned = frozenset()
        try:
            depth = self._load(context.scene)
            shots = self._shots(context.scene, depth)
        except self.problems as problem:
            report_error(self, problem)
            return {"CANCELLED"}
        for shot in shots:
            try:
                built.append(self.build(context, depth, shot))
            except self.problems as problem:
                failed.append(str(problem))
        for problem in dict.fromkeys(failed):
            if built:
                self.report({"WARNING"}, shown(problem))
            else:
                report_error(self, problem)
        if not built:
            return {"CANCELLED"}
        more = f" and {len(built) - _MOST_NAMED} more" if len(built) > _MOST_NAMED else ""
        self.report({"INFO"}, readable(f"Built {', '.join(built[:_MOST_NAMED])}{more}"))
        self.complete(context, depth)
        return {"FINISHED"}

    def build(self, context, depth: Depth, shot: Shot) -> str:
        """Build one shot's setup; return its name."""
        raise NotImplementedError

    def complete(self, context, depth: Depth) -> None:
        """What is to be done once, when all shots are built, and to be reported last."""

    def _load(self, scene: bpy.types.Scene) -> Depth:
        if self.folder:
            places.ask(bpy.path.abspath(self.folder))
            depth = depth_module.load(self.folder)
            return depth_list.placed(scene, depth)
        return depth_list.load(scene, None if self.depth < 0 else self.depth)

    def _shots(self, scene: bpy.types.Scene, depth: Depth) -> tuple[Shot, ...]:
        return depth.done_shots if self.all_shots else (depth.done_shot_at(scene.frame_current),)
