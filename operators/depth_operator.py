"""What operators that build from a depth have in common: which depth, and which of its shots."""

import bpy

from ..inference.contract.depth_sequence import Shot
from ..inference.contract.untrusted import readable
from ..scene import depth as depth_module
from ..scene import depth_list, lookup, places, plate
from ..scene.depth import Depth
from ..scene.problems import PROBLEMS
from ..scene.wording import shown
from .arguments import depth_argument, path_argument
from .reporting import report_error

_MOST_NAMED = 12
"""Things in one report."""


class OnDepth:
    """Mix-in: the operator gives `build`, which is called for each shot and returns what it built for the report."""

    bl_options = {"REGISTER", "UNDO"}
    done = "Built"
    """How the report begins that names what was built."""
    _warned: frozenset[str] = frozenset()

    depth: depth_argument()
    folder: path_argument("Folder", "Folder of a depth sequence, instead of one on the list", "DIR_PATH")
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
        self._warned = frozenset()
        with lookup.caching():
            try:
                depth = self._load(context.scene)
                shots = self._shots(context.scene, depth)
            except PROBLEMS as problem:
                return report_error(self, problem)
            built, failed = [], []
            for shot in shots:
                try:
                    built.append(self.build(context, depth, shot))
                except PROBLEMS as problem:
                    failed.append(str(problem))
            for problem in dict.fromkeys(failed):
                if built:
                    self.report({"WARNING"}, shown(problem))
                else:
                    report_error(self, problem)
            if not built:
                return {"CANCELLED"}
            more = f" and {len(built) - _MOST_NAMED} more" if len(built) > _MOST_NAMED else ""
            self.report({"INFO"}, readable(f"{self.done} {', '.join(built[:_MOST_NAMED])}{more}"))
            self.complete(context, depth)
            other = plate.of_other_files(depth)
            if other is not None:
                self.warn_once(other)
        return {"FINISHED"}

    def warn_once(self, sentence: str) -> None:
        """Report a warning that may hold for many shots."""
        if sentence not in self._warned:
            self._warned = self._warned | {sentence}
            self.report({"WARNING"}, shown(sentence))

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
        return depth_list.load(scene, self.depth)

    def _shots(self, scene: bpy.types.Scene, depth: Depth) -> tuple[Shot, ...]:
        return depth.done_shots if self.all_shots else (depth.done_shot_at(scene.frame_current),)
