"""The accuracy of the embedded estimator on a clip that the project renders itself, so that the truth is exact."""

import json
import os
import subprocess
from pathlib import Path

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client
from bl_ext.dev.fathom.inference.contract.job import Job
from bl_ext.dev.fathom.scene import source

from development.benchmark_scenes import clips, render
from development.benchmark_scenes.images import read_gray16

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    bpy.app.version[:2] != (5, 0), reason="the clip is rendered and measured once, with Blender 5.0"
)


@pytest.fixture(scope="module")
def clip():
    """The courtyard, filmed in few and small frames; a render of the same scene that lies in build/ is used again."""
    folder = render.rendered(clips.QUICK["courtyard"], render.OUTPUT_QUICK)
    yield folder
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.mark.slow(seconds=120)
def test_parallax_keeps_its_accuracy_on_the_courtyard(clip, inference_python, tmp_path):
    plate = source.from_file(clip / "rgb" / "00001.png")
    job = Job(source=plate.source, output=str(tmp_path / "depth"))
    client.run_blocking(job, python=inference_python)
    done = subprocess.run(
        [inference_python, "-m", "inference", "evaluate", job.output, "--truth", str(clip), "--json"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (shot,) = json.loads(done.stdout)
    assert (shot["first_frame"], shot["last_frame"]) == (1, 24)
    # Measured: AbsRel 0.118, delta1 0.851, flicker 0.016, the moving ball included.
    assert shot["absolute_relative"] < 0.14
    assert shot["delta1"] > 0.82
    assert shot["flicker"] < 0.025


@pytest.mark.slow
def test_the_truth_is_where_the_image_is(clip):
    """The pavement in the rendered depth, brought into the world by the camera, lies at height 0 in every frame."""
    camera = json.loads((clip / "camera.json").read_text())
    for frame in (1, 24):
        depth = read_gray16(clip / "depth" / f"{frame:05d}.png") / 1000.0
        x, y = camera["width"] // 2, camera["height"] - 8
        z = depth[y, x]
        ray = ((x - camera["cx"]) / camera["fx"], (y - camera["cy"]) / camera["fy"], 1.0)
        pose = camera["frames"][frame - 1]["c2w_opencv"]
        height = sum(pose[2][i] * ray[i] * z for i in range(3)) + pose[2][3]
        assert abs(height) < 0.02
