"""What needs no network works with the light set of packages alone, and where torch is there it is left alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from inference.contract import exit_codes, packages
from tests.marks import rest_slow

ROOT = Path(__file__).resolve().parents[4]
MAIN = ROOT / "inference" / "__main__.py"
SMALL = ("--frames", "1-12", "--size", "96")

# Runs as the worker, and fails where that has imported what belongs to the networks, or to the camera solve's process.
WATCHING = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    packages = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "pycolmap"}
    if packages & set(sys.modules):
        raise AssertionError(f"{packages & set(sys.modules)} were imported")
"""


@pytest.fixture(scope="module")
def clip(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for index, image in enumerate(scene.images, start=1):
        cv2.imwrite(str(folder / f"plate.{index:04d}.png"), image[..., ::-1])
    return folder


@pytest.fixture(params=rest_slow(["torch is absent", "torch is there"]))
def run(request, worker, light_python):
    """Run the worker, with torch or without; where it is there it must not be imported."""
    start = [light_python, "-I", MAIN]
    if request.param == "torch is there":
        start = [sys.executable, "-I", "-c", WATCHING, MAIN]

    def call(*arguments):
        command = [str(part) for part in (*start, *arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=worker.environment, check=False)

    return call


def test_the_light_set_is_all_that_this_python_has(light_python):
    code = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    done = subprocess.run([light_python, "-I", "-c", code], capture_output=True, text=True, check=True)
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in done.stdout.split()]
    assert sorted(names) == sorted(packages.locked())


def test_estimators_are_listed(run):
    done = run("estimators", "--json")
    assert done.returncode == 0, done.stderr
    listed = {facts["name"]: facts for facts in json.loads(done.stdout)}
    assert listed["parallax"]["can_run"] is True
    assert set(listed) > {"parallax"}
    text = run("estimators")
    assert text.returncode == 0 and all(name in text.stdout for name in listed), text.stderr


def test_the_doctor_looks(run):
    done = run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[ ok ] numpy: " in done.stdout and "parallax" in done.stdout


def test_parallax_estimates(run, clip, tmp_path):
    done = run("estimate", clip, "--output", tmp_path / "depth", *SMALL)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "depth" / "depth.json").read_text())
    assert set(facts["versions"]) == {"python", "fathom", *packages.of_estimates()}
    assert len(list((tmp_path / "depth").glob("disparity.*.exr"))) == 12


def test_an_estimator_whose_set_is_missing_says_so_in_one_sentence_with_one_command(
    worker, light_python, clip, tmp_path
):
    command = [light_python, "-I", MAIN, "estimate", clip, "--output", tmp_path / "depth", "--events"]
    done = subprocess.run(
        [*map(str, command), "--estimator", "depthcrafter"],
        capture_output=True, text=True, env=worker.environment, check=False,
    )  # fmt: skip
    assert done.returncode == exit_codes.MISSING, done.stderr
    told = json.loads(done.stdout)
    sentence = told["what"].split(". ")[0]
    assert sentence.startswith("DepthCrafter needs packages that are not installed: torch, diffusers, transformers")
    assert told["hint"].count(f"run: {light_python} {MAIN} install full") == 1 and "pip" not in told["hint"]
    assert not (tmp_path / "depth").exists()


def test_the_doctor_says_what_the_other_estimators_would_need(worker, light_python):
    done = subprocess.run(
        [light_python, "-I", MAIN, "doctor"], capture_output=True, text=True, env=worker.environment, check=False
    )
    assert done.returncode == 0, done.stdout
    note, hint = done.stdout.partition("[note] full set: ")[2].splitlines()[:2]
    assert "parallax and quick do not need it" in note and hint.endswith(f"{MAIN} install full")
    assert "(no torch, which parallax does not need)" in done.stdout
