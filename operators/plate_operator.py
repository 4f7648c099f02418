"""What operators on a plate have in common: whose it is, a strip's, a clip's or a file's, and where its results go."""

from pathlib import Path

import bpy
from bpy.props import IntProperty, StringProperty

from ..scene import output, source, subject
from ..scene.source import Plate
from .arguments import argument, path_argument


class OnShown:
    """Mix-in: an operator for the strip or clip in front of the artist."""

    strip: argument(StringProperty, "Strip", "Name of a strip, instead of the active one")
    clip: argument(StringProperty, "Clip", "Name of a movie clip, instead of the one that is shown")

    def shown(self, context):
        """It, and the scene whose timeline it lies on."""
        return subject.shown_in(context, strip=self.strip, clip=self.clip)


class OnPlate(OnShown):
    """Mix-in: an operator for that strip or clip, or for a file."""

    filepath: path_argument("File", "A movie, or one frame of a sequence, instead of a strip or clip", "FILE_PATH")
    stream: argument(
        IntProperty, "Stream Index", "Which video stream of the file, if it is a movie with several", min=0
    )
    frames: argument(
        StringProperty, "Frames", "The clip's frames to work on, such as 1001-1040; empty: all that are shown"
    )
    output: path_argument("Output", "Folder of the depth sequences; empty: the scene's", "DIR_PATH")

    def find_plate(self, context) -> Plate:
        """The plate that is asked for."""
        if self.filepath:
            return source.from_file(bpy.path.abspath(self.filepath), self.frames, stream=self.stream)
        return source.from_shown(*self.shown(context), self.frames)

    def root(self, scene) -> Path:
        """The folder of all depth sequences."""
        return output.root_folder(self.output or scene.fathom.output)
