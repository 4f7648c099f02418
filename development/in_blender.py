"""For a Python that has bpy: enable the checkout as an extension, isolated from the user's own Blender."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from .environments import ROOT

PREFIX = "fathom-development-"
"""Beginning of the names of temporary folders."""
MODULE = "bl_ext.dev.fathom"
"""The checkout's module name in Blender."""


def keep_compiled_code() -> None:
    """Keep compiled loops for later runs and for all processes of this one: it takes a minute to compile them."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "build" / "numba"))


def enable_checkout(inside: Path | None = None, checkout: Path = ROOT) -> None:
    """Enable a checkout, this one or another, as an extension; call it before anything imports bpy.

    Blender's settings and Fathom's data go to a temporary folder. An extension's folder must have its identifier as
    name, and a clone may have another, so the local repository has a link to the checkout. The temporary folder is
    removed when this process ends, which one that is killed does not do: it should be `inside` a folder of whoever
    started it.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=inside))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["BLENDER_USER_RESOURCES"] = str(folder / "user")
    os.environ["FATHOM_HOME"] = str(folder / "home")
    keep_compiled_code()
    (folder / "repository").mkdir()
    (folder / "repository" / "fathom").symlink_to(checkout, target_is_directory=True)
    import bpy

    bpy.context.preferences.extensions.repos.new(
        name="dev", module="dev", custom_directory=str(folder / "repository"), remote_url="", source="USER"
    )
    if bpy.ops.preferences.addon_enable(module=MODULE) != {"FINISHED"}:
        raise RuntimeError(f"Blender {bpy.app.version_string} could not enable {MODULE}; see the output above")
