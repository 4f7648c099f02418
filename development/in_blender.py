"""For a Python that has bpy: enable the checkout as the extension that it is, away from the user's own Blender."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from .environments import ROOT

MODULE = "bl_ext.dev.fathom"
"""Name under which Blender knows the checkout then."""


def enable_checkout() -> None:
    """Enable the checkout as an extension; to be called before anything imports bpy.

    Blender's settings and what Fathom installs go to a temporary folder. An extension's folder bears its identifier
    while a clone may have any name, so the local repository holds a link to the checkout.

    Raises
    ------
    RuntimeError
        Blender could not enable it; the reason stands in the output.
    """
    folder = Path(tempfile.mkdtemp(prefix="fathom-development-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["BLENDER_USER_RESOURCES"] = str(folder / "user")
    os.environ["FATHOM_HOME"] = str(folder / "home")
    os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "build" / "numba"))  # compiled loops outlive this run
    (folder / "repository").mkdir()
    (folder / "repository" / "fathom").symlink_to(ROOT, target_is_directory=True)
    import bpy

    bpy.context.preferences.extensions.repos.new(
        name="dev", module="dev", custom_directory=str(folder / "repository"), remote_url="", source="USER"
    )
    if bpy.ops.preferences.addon_enable(module=MODULE) != {"FINISHED"}:
        raise RuntimeError(f"Blender {bpy.app.version_string} could not enable {MODULE}; see the output above")
