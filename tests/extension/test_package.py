"""The zip that artists install: built and checked by Blender's own tool, and its whole life in a fresh Blender."""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bpy
import depth_maker
import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORKER = ROOT / "tests" / "inference" / "support" / "worker.py"
PARTS = {
    "__init__.py",
    "blender_manifest.toml",
    "LICENSE",
    "operators",
    "panels",
    "scene",
    "inference",
    "requirements",
    "docs",
}


def tool(*arguments):
    """Blender's extension tool, which needs no Blender."""
    script = Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    tool("build", "--source-dir", str(ROOT), "--output-dir", str(folder))
    (path,) = folder.glob("*.zip")
    return path


def test_blenders_tool_finds_nothing_wrong(package):
    assert "Success" in tool("validate", str(package))


def test_the_zip_holds_the_product_and_nothing_of_its_development(package):
    names = zipfile.ZipFile(package).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops >= PARTS and tops <= PARTS | {"README.md", "CHANGELOG.md"}
    shipped = sorted(name for name in names if name.startswith("requirements/"))
    assert shipped == [f"requirements/{name}.txt" for name in ("full", "light", "mattes", "torch", "training")]
    assert "docs/README.md" in names, "the preferences open it"
    pictures = [name for name in names if name.startswith("docs/") and not name.endswith(".md")]
    assert not pictures, "they are a third of its size, and the preferences open the pages as text"
    assert not [name for name in names if "__pycache__" in name or "/." in name or name.startswith(".")]
    assert sum(info.file_size for info in zipfile.ZipFile(package).infolist()) < 5_000_000


def test_a_folder_of_it_serves_as_a_repository(package, tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copy2(package, folder)
    tool("server-generate", "--repo-dir", str(folder), "--html")
    (entry,) = json.loads((folder / "index.json").read_text(encoding="utf-8"))["data"]
    assert (entry["id"], entry["archive_url"]) == ("fathom", f"./{package.name}"), "it can be moved to any server"
    assert (folder / "index.html").is_file()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.json"
    local = tmp_path / "local"
    local.mkdir()
    try:
        tool("sync", "--remote-url", address, "--local-dir", str(local))
        tool("install", "--remote-url", address, "--local-dir", str(local), "fathom")
    finally:
        server.shutdown()
        server.server_close()
    assert (local / "fathom" / "blender_manifest.toml").is_file()


def test_permissions_and_tagline_follow_the_guidelines():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert set(manifest["permissions"]) == {"files", "network"}
    for text in (*manifest["permissions"].values(), manifest["tagline"]):
        assert len(text) <= 64 and text[-1].isalnum()


@pytest.mark.parametrize("after_use", [True], ids=["installed, used, disabled, enabled, uninstalled"])
def test_its_whole_life(package, tmp_path, inference_python, after_use):
    plates = depth_maker.make(tmp_path / "made", size=(64, 48)).parent / "plate"
    variables = {
        **os.environ,
        "BLENDER_USER_RESOURCES": str(tmp_path / "user"),
        "FATHOM_HOME": str(tmp_path / "home"),
        "FATHOM_PYTHON": str(inference_python),
    }
    command = [sys.executable, HERE / "lifecycle.py", package, plates, tmp_path / "depth", WORKER]
    done = subprocess.run([str(c) for c in command], env=variables, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
    assert done.returncode == 0 and lines, done.stdout + done.stderr
    report = json.loads(lines[0].removeprefix("REPORT "))
    before, there, disabled, after = (report[key] for key in ("before", "with", "disabled", "after"))

    assert there["addons"] == ["bl_ext.user_default.fathom"]
    assert "FATHOM_PT_sequencer" in there["classes"] and "estimate_video_depth" in there["operators"]
    assert there["properties"] == ["Scene.fathom"]
    files = ["frame_change_post", "load_post", "load_pre", "render_init", "save_post", "save_post_fail", "save_pre"]
    files = ["blend_import_post"] * hasattr(bpy.app.handlers, "blend_import_post") + files
    assert [line.split()[0] for line in there["handlers"]] == files and len(there["drawn"]) == 1
    assert report["estimate"] == report["build"] == ["FINISHED"]
    assert report["objects"] == ["camera", "mesh", "rig"]
    assert (tmp_path / "depth" / "plate" / "v001" / "depth.json").exists()

    assert report["disable"] == report["uninstall"] == ["FINISHED"]
    gone = ("classes", "operators", "properties", "handlers", "keymaps", "drawn")
    for key in gone:
        assert disabled[key] == before[key], key
        assert after[key] == before[key], key
    assert {key: report["enabled"][key] for key in gone} == {key: there[key] for key in gone}
    assert after["addons"] == after["modules"] == after["files"] == []
    assert not list((tmp_path / "user").rglob("*fathom*"))
    assert "Traceback" not in done.stderr, done.stderr
