"""Install, enable, use, disable and uninstall the built zip, in a Blender of its own; run by test_package.py.

Usage: python lifecycle.py ZIP PLATES OUTPUT; the environment names the worker's Python and Blender's user folder.
Prints one JSON object: what was there before, with and after the extension.
"""

import json
import sys
from pathlib import Path

import bpy

MODULE = "bl_ext.user_default.fathom"


def traces() -> dict:
    """Everything in this Blender that an extension could leave behind."""
    handlers = {name: getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)}
    keymaps = bpy.context.window_manager.keyconfigs.addon
    return {
        "classes": sorted(name for name in dir(bpy.types) if name.startswith("FATHOM_")),
        "operators": sorted(dir(bpy.ops.fathom)),
        "properties": sorted(
            f"{kind}.{name}"
            for kind in ("Scene", "WindowManager", "Object", "MovieClip")
            for name in dir(getattr(bpy.types, kind))
            if "fathom" in name
        ),
        "drawn": [
            function.__module__
            for function in getattr(bpy.types.STATUSBAR_HT_header.draw, "_draw_funcs", ())
            if "fathom" in function.__module__
        ],
        "handlers": sorted(
            f"{name} {function.__module__}"
            for name, functions in handlers.items()
            if isinstance(functions, list)
            for function in functions
            if "fathom" in str(getattr(function, "__module__", ""))
        ),
        "keymaps": sum(len(keymap.keymap_items) for keymap in keymaps.keymaps) if keymaps else 0,
        "modules": sorted(name for name in sys.modules if name.startswith(MODULE)),
        "addons": sorted(a.module for a in bpy.context.preferences.addons if "fathom" in a.module),
        "files": sorted(str(path) for path in Path(sys.argv[3]).parent.glob("user/**/*fathom*")),
    }


def main() -> None:
    """The whole life of the extension."""
    package, plates, output = sys.argv[1:4]
    report = {"before": traces()}
    bpy.ops.extensions.package_install_files(filepath=package, repo="user_default", enable_on_install=True)
    report["with"] = traces()
    from bl_ext.user_default.fathom.inference.contract import client

    if len(sys.argv) > 4:
        client.MAIN = Path(sys.argv[4])
    frame = sorted(Path(plates).iterdir())[0]
    arguments = {"estimator": "running_mean"} if len(sys.argv) > 4 else {}
    report["estimate"] = sorted(bpy.ops.fathom.estimate_video_depth(filepath=str(frame), output=output, **arguments))
    report["build"] = sorted(bpy.ops.fathom.build_depth_mesh())
    report["objects"] = sorted(o["fathom_kind"] for o in bpy.data.objects if "fathom_kind" in o)
    report["disable"] = sorted(bpy.ops.preferences.addon_disable(module=MODULE))
    report["disabled"] = traces()
    report["enable"] = sorted(bpy.ops.preferences.addon_enable(module=MODULE))
    report["enabled"] = traces()
    repositories = bpy.context.preferences.extensions.repos
    index = next(i for i, repository in enumerate(repositories) if repository.module == "user_default")
    report["uninstall"] = sorted(bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="fathom"))
    report["after"] = traces()
    print("\nREPORT " + json.dumps(report), flush=True)


main()
