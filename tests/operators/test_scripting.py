"""The scripts of docs/scripting.md, as they stand there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import queue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scripting.md").read_text(encoding="utf-8")
SCRIPTS = {
    match[1]: match[0].removeprefix("```python\n").removesuffix("```")
    for match in re.finditer(r"```python\n# (\w+)\.py: .*?```", PAGE, re.DOTALL)
}


@pytest.fixture
def run(worker, empty_file, monkeypatch, tmp_path, capsys):
    """Run a script as Blender does; gives what it prints."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))

    def script(name, *arguments):
        monkeypatch.setattr(sys, "argv", ["blender", "-b", "-P", f"{name}.py", "--", *map(str, arguments)])
        exec(compile(SCRIPTS[name], f"{name}.py", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    yield script
    queue.stop()


def test_every_script_is_tested():
    assert set(SCRIPTS) == {"clip_to_blend", "with_parameters", "folder", "mattes", "progress", "worker"}
    assert PAGE.count("```python") == len(SCRIPTS)


def test_from_a_clip_to_a_blend_file(run, clip, tmp_path):
    printed = run("clip_to_blend", clip / "plate.1001.png", tmp_path / "depth", tmp_path / "a.blend", "running_mean")
    assert "plate v001" in printed
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert {"camera", "mesh", "fog"} <= {each.get("fathom_kind") for each in bpy.data.objects}


def test_with_parameters(run, clip, tmp_path):
    run("with_parameters", clip / "plate.1001.png", tmp_path / "depth", "running_mean", "fine=false", "mode=b")
    sequence = depth_sequence.load(next(tmp_path.rglob("depth.json")).parent)
    assert (sequence.last_frame, sequence.seed) == (1004, 1)
    assert (sequence.parameters["fine"], sequence.parameters["mode"]) == (False, "b")


def test_every_clip_of_a_folder(run, clip, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(clip, tmp_path / "clips" / name)
    (tmp_path / "clips" / "b" / "plate.1003.png").write_bytes(b"no image")
    printed = run("folder", tmp_path / "clips", tmp_path / "depth", "running_mean")
    assert "Not all could be estimated" in printed
    (line,) = [line for line in printed.splitlines() if line.endswith("v001")]
    assert depth_sequence.load(line.strip()).last_frame == 1006


def test_mattes_then_depth(run, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_MATTES", "0")
    printed = run("mattes", clip / "plate.1001.png", tmp_path / "depth", "running_mean", "gpl-3.0-robust-video-matting")
    assert str(tmp_path / "depth" / "plate" / "mattes" / "v001") in printed
    sequence = depth_sequence.load(tmp_path / "depth" / "plate" / "v001")
    assert sequence.last_frame == 1006


def test_progress(run, clip, tmp_path):
    printed = run("progress", clip / "plate.1001.png", tmp_path / "depth", "running_mean")
    assert "100%, 6 of 6 frames" in printed and "1001 1006 done" in printed


def test_without_blender(run, clip, tmp_path, inference_python):
    from bl_ext.dev.fathom.inference.contract import client

    script = tmp_path / "worker.py"
    script.write_text(SCRIPTS["worker"])
    arguments = [inference_python, client.MAIN, clip / "plate.1001.png", tmp_path / "depth", "running_mean"]
    done = subprocess.run(
        [sys.executable, script, "--", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    assert "'event': 'done'" in done.stdout
