"""The operators that download, verify and remove the weights of networks, and choose a studio's folder of them."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty

from ..inference.contract import weights as contract
from ..inference.contract.untrusted import readable
from ..inference.contract.weights import WeightsFacts
from ..scene import current_run, preferences, weights
from ..scene.current_run import Transfer
from ..scene.problems import PROBLEMS
from ..scene.wording import shown, wrapped
from .arguments import argument, path_argument
from .modal_run import Follows, is_idle
from .reporting import report_error, reporting

WIDTH, _LETTERS = 520, 84
"""Of a dialog, in pixels, and of a line in it."""
_NAMES = "Names of weights, separated by commas"


class FATHOM_OT_get_weights(bpy.types.Operator):
    """Show the license and the size of weights, and download them once you accept it"""

    bl_idname = "fathom.get_weights"
    bl_label = "Download Weights"

    names: argument(StringProperty, "Names", _NAMES, options=frozenset({"HIDDEN"}))
    accept: argument(BoolProperty, "I accept the license", "Needed to download these weights")
    newest: argument(
        BoolProperty,
        "Use the newest revision",
        "Fathom fixes no revision of these weights: take the hub's newest, and keep it from then on",
    )

    @classmethod
    def poll(cls, context):
        if not is_idle(cls):
            return False
        reason = preferences.offline_reason()
        if reason is not None:
            cls.poll_message_set(reason.rstrip("."))
            return False
        return True

    def invoke(self, context, event):
        try:
            _facts(self.names)
        except PROBLEMS as problem:
            return report_error(self, problem)
        return context.window_manager.invoke_props_dialog(
            self, width=WIDTH, title=self.bl_label, confirm_text="Download"
        )

    def draw(self, context):
        layout = self.layout
        found = _facts(self.names)
        for facts in found:
            draw_facts(layout, facts)
        asked = any(facts.licence.needs_acceptance or facts.revision_open for facts in found)
        box = layout.box() if asked else layout
        if any(facts.licence.needs_acceptance for facts in found):
            several = len({facts.licence.name for facts in found}) > 1
            box.prop(self, "accept", text="I accept these licenses" if several else "I accept the license")
        open_ones = _labels([facts for facts in found if facts.revision_open])
        if open_ones:
            draw_lines(box, f"Fathom fixes no revision of {open_ones}: choose one here, or by the command line.")
            box.prop(self, "newest")

    @reporting
    def execute(self, context):
        found = _facts(self.names)
        if any(facts.licence.needs_acceptance for facts in found) and not self.accept:
            return report_error(self, "Nothing was downloaded, because the license was not accepted: tick the box.")
        open_ones = [facts.name for facts in found if facts.revision_open and self.newest]
        return bpy.ops.fathom.download_weights(
            "EXEC_DEFAULT" if bpy.app.background else "INVOKE_DEFAULT",
            names=",".join(facts.name for facts in found),
            licenses=",".join(dict.fromkeys(facts.licence.name for facts in found)),
            revisions=",".join(f"{name}={contract.NEWEST}" for name in open_ones),
        )


class FATHOM_OT_download_weights(Follows, bpy.types.Operator):
    """Download weights whose licenses you accept, or copy them from a folder; an interrupted download resumes"""

    bl_idname = "fathom.download_weights"
    bl_label = "Download Weights"
    cancelled_note = "What was downloaded is kept: Resume continues from there."

    names: argument(StringProperty, "Names", _NAMES)
    licenses: argument(StringProperty, "Licenses", "Names of the licenses that you accept, separated by commas")
    revisions: argument(
        StringProperty,
        "Revisions",
        "NAME=HASH, or NAME=newest, of weights whose revision Fathom does not fix, separated by commas",
    )
    directory: path_argument("Folder", "Copy from this folder instead of the network", "DIR_PATH")

    def begin(self, context):
        found = weights.facts_of(listed(self.names))
        pairs = (text.partition("=") for text in listed(self.revisions))
        steps = weights.download(
            [facts.name for facts in found],
            licences=listed(self.licenses),
            revisions={name.strip(): revision.strip() for name, _, revision in pairs},
            source=Path(bpy.path.abspath(self.directory)).absolute() if self.directory else None,
        )
        return f"Downloading {_labels(found)}", steps, Transfer(tuple(facts.name for facts in found))

    def finish(self, context):
        self.report({"INFO"}, "The weights are downloaded and verified")


class FATHOM_OT_verify_weights(Follows, bpy.types.Operator):
    """Read every byte of weights and compare them with their checksums"""

    bl_idname = "fathom.verify_weights"
    bl_label = "Verify Weights"

    names: argument(StringProperty, "Names", _NAMES)

    def begin(self, context):
        found = weights.facts_of(listed(self.names))
        names = tuple(facts.name for facts in found)
        return f"Verifying {_labels(found)}", weights.verify(names), Transfer(names)

    def finish(self, context):
        self.report({"INFO"}, "All files match their checksums")


class FATHOM_OT_remove_weights(bpy.types.Operator):
    """Delete downloaded weights; a studio's folder stays as it is"""

    bl_idname = "fathom.remove_weights"
    bl_label = "Remove Weights"

    weights: argument(StringProperty, "Weights", "Name of the weights")

    @classmethod
    def poll(cls, context):
        return is_idle(cls)

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    @reporting
    def execute(self, context):
        (facts,) = weights.facts_of([self.weights])
        self.report({"INFO"}, readable(weights.remove(facts.name)))
        return {"FINISHED"}


class FATHOM_OT_choose_weights_folder(bpy.types.Operator):
    """Read weights from a studio's folder, which Fathom never changes"""

    bl_idname = "fathom.choose_weights_folder"
    bl_label = "Choose Weights Folder"

    directory: path_argument("Folder", "A folder with owner/name folders, or a Hugging Face cache", "DIR_PATH")
    filter_folder: argument(BoolProperty, "Folders", options=frozenset({"HIDDEN"}), default=True)

    @classmethod
    def poll(cls, context):
        return is_idle(cls)

    def invoke(self, context, event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @reporting
    def execute(self, context):
        if not self.directory:
            return report_error(self, "No folder is chosen: choose the folder with the weights.")
        folder = Path(bpy.path.abspath(self.directory)).absolute()
        if not folder.is_dir():
            return report_error(self, f"{folder} is no folder: choose the folder with the weights.")
        weights.choose_folder(folder)
        self.report({"INFO"}, readable(f"Weights are read from {folder}, where it has them"))
        return {"FINISHED"}


class FATHOM_OT_forget_weights_folder(bpy.types.Operator):
    """Use downloaded weights again instead of a studio's folder, which stays as it is"""

    bl_idname = "fathom.forget_weights_folder"
    bl_label = "Clear Weights Folder"

    @classmethod
    def poll(cls, context):
        return is_idle(cls)

    @reporting
    def execute(self, context):
        weights.choose_folder(None)
        return {"FINISHED"}


def describe_size(facts: WeightsFacts) -> str:
    """What is left to download, for the artist."""
    left = max(facts.missing_size - facts.partial_size, 0) or facts.size
    return current_run.describe_bytes(left)


def listed(text: str) -> list[str]:
    """The names in a text, which commas separate."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _facts(names: str) -> list[WeightsFacts]:
    return weights.facts_of(listed(names))


def _labels(found: list[WeightsFacts]) -> str:
    return ", ".join(facts.label for facts in found)


def draw_facts(layout, facts: WeightsFacts) -> None:
    """What weights take, and their license."""
    box = layout.box()
    draw_lines(box, f"{facts.label}: {describe_size(facts)} from {facts.repository}", icon="IMPORT")
    draw_lines(box, f"{facts.licence.title}. {facts.licence.summary}")
    box.operator("wm.url_open", text="Read the License", icon="URL").url = facts.licence.url


def draw_lines(layout, text: str, icon: str = "NONE") -> None:
    """A sentence in lines that fit the dialog."""
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(wrapped(shown(text), _LETTERS)):
        column.label(text=line, icon=icon if number == 0 else "NONE" if icon == "NONE" else "BLANK1", translate=False)


CLASSES = (
    FATHOM_OT_get_weights,
    FATHOM_OT_download_weights,
    FATHOM_OT_verify_weights,
    FATHOM_OT_remove_weights,
    FATHOM_OT_choose_weights_folder,
    FATHOM_OT_forget_weights_folder,
)
