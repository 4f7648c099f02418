"""Bundles of Open Job Description, run by its own command as a farm's computers run them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from development.benchmarks.farm import FOCAL, make_clip
from inference.commands import farm
from inference.contract import exit_codes
from inference.contract.job import Source
from inference.estimators.quick.weights import FILE, MODEL
from inference.farm import bundles

OPENJD = shutil.which("openjd", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))

pytestmark = pytest.mark.skipif(OPENJD is None, reason="openjd-cli is not installed")


@pytest.fixture
def openjd(worker, tmp_path):
    def run(verb, bundle, *arguments, code=0):
        command = [OPENJD, verb, bundle / "template.yaml", *arguments]
        done = subprocess.run(
            command, env=worker.environment, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def template_of(folder):
    return yaml.safe_load((folder / "template.yaml").read_text())


def test_a_bundle_has_a_step_for_each_phase_and_what_it_reads(bundle, openjd, cut_clip, clip, tmp_path):
    folder = bundle(cut_clip, clip)
    assert "passes validation checks" in openjd("check", folder)
    summary = openjd("summary", folder)
    assert "Total steps: 6" in summary and "Total tasks: 16" in summary
    assert "Depth of plate and 1 more" in summary, "sequences without the number of their first frames"
    steps = template_of(folder)["steps"]
    assert [step["name"] for step in steps] == [
        "Check the plans",
        "Looking (phased.look)",
        "Averaging (phased.mean)",
        "Writing (phased.write)",
        "Finishing the shot (finish)",
        "Merge",
    ]
    for before, step in zip(steps, steps[1:]):  # noqa: RUF007  as the specification has it
        assert step["dependencies"] == [{"dependsOn": before["name"]}]
    look = steps[1]["parameterSpace"]
    assert look["combination"] == "(Output, Clip, Chunk)"
    values = {each["name"]: each["range"] for each in look["taskParameterDefinitions"]}
    assert values["Chunk"] == [0, 1, 0]
    assert [Path(each).name for each in values["Output"]] == [cut_clip.name, cut_clip.name, clip.name]
    assert yaml.safe_load((folder / "parameter_values.yaml").read_text()) == {"parameterValues": []}
    assets = yaml.safe_load((folder / "asset_references.yaml").read_text())["assetReferences"]
    assert len(assets["inputs"]["filenames"]) == 42
    assert assets["outputs"]["directories"] == [str(tmp_path / "depths" / each.name) for each in (cut_clip, clip)]


def test_requirements_and_time_limits_come_from_the_plan(bundle, openjd, cut_clip, monkeypatch):
    folder = bundle(cut_clip, estimator="parallax")
    openjd("check", folder)
    check, *phases, merge = template_of(folder)["steps"]
    assert "hostRequirements" not in check and "hostRequirements" not in merge
    for step in phases:
        assert step["hostRequirements"] == {"amounts": [{"name": "amount.worker.memory", "min": 1024}]}
        action = step["script"]["actions"]["onRun"]
        assert action["timeout"] >= 3600 and action["cancelation"]["mode"] == "NOTIFY_THEN_TERMINATE"


@pytest.mark.slow
def test_a_bundle_that_is_run_makes_what_one_run_makes(bundle, openjd, cut_clip, whole, farm, tmp_path):
    folder = bundle(cut_clip)
    told = openjd("run", folder)
    assert "openjd_progress: 100.0" in told and "Session ended successfully" in told
    assert farm.contents(tmp_path / "depths" / cut_clip.name) == whole()


@pytest.mark.slow
def test_parallax_on_a_farm_makes_what_one_run_makes(bundle, openjd, worker, farm, tmp_path):
    clip, lens = make_clip(tmp_path / "dolly", 16, (192, 144)), ("--focal-length", f"{FOCAL * 192:g}px")
    folder = bundle(clip, estimator="parallax", frames=8, more=lens)
    names = [step["name"].partition(" (")[2][:-1] for step in template_of(folder)["steps"][1:-1]]
    assert names[:2] == ["parallax.camera", "parallax.match"] and names[-1] == "finish"
    openjd("run", folder)
    one = worker("estimate", clip, "--output", tmp_path / "one", "--estimator", "parallax", *lens)
    assert one.returncode == 0, one.stderr
    assert farm.contents(tmp_path / "depths" / clip.name) == farm.contents(tmp_path / "one")


@pytest.mark.slow
def test_quick_on_a_farm_makes_what_one_run_makes(bundle, openjd, worker, farm, footage, tmp_path):
    weights = footage / "learned" / "tcmonodepth_small_192x320.onnx"
    if not weights.is_file():
        pytest.skip("the weights of Quick are not among the test footage")
    studio = tmp_path / "studio" / MODEL.repository / FILE
    studio.parent.mkdir(parents=True)
    shutil.copy(weights, studio)
    worker.environment["FATHOM_HOME"] = str(tmp_path / "home")  # of its own, as other tests miss these weights
    got = worker(
        "models", "download", MODEL.name, "--from", tmp_path / "studio", "--accept-license", MODEL.licence.name
    )
    assert got.returncode == 0, got.stderr
    clip = make_clip(tmp_path / "dolly", 16, (192, 144))
    folder = bundle(clip, estimator="quick", frames=8)
    assert "passes validation checks" in openjd("check", folder)
    summary = openjd("summary", folder)
    assert "Depth of dolly" in summary and "Total steps: 6" in summary and "Total tasks: 8" in summary
    names = [step["name"].partition(" (")[2][:-1] for step in template_of(folder)["steps"][1:-1]]
    assert names == ["quick.look", "quick.level", "quick.steady", "finish"]
    openjd("run", folder)
    one = worker("estimate", clip, "--output", tmp_path / "one", "--estimator", "quick")
    assert one.returncode == 0, one.stderr
    made = farm.contents(tmp_path / "depths" / clip.name)
    assert len(made) == 17 and made == farm.contents(tmp_path / "one")


@pytest.mark.slow
def test_steps_are_done_apart_where_paths_are_mapped(bundle, openjd, worker, cut_clip, whole, farm, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(cut_clip, here / "clip")
    worker("plan", here / "clip", "--output", here / "depth", "--estimator", "phased", "--chunk-frames", 15)
    folder = bundle(more=("--planned", here / "depth"))
    shutil.move(here, there)
    rules = {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {"source_path_format": "POSIX", "source_path": str(here), "destination_path": str(there)}
        ],
    }
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    for step in template_of(folder)["steps"]:
        openjd("run", folder, "--step", step["name"], "--path-mapping-rules", f"file://{tmp_path / 'rules.json'}")
    made, one = farm.contents(there / "depth"), whole()
    assert made["depth.json"].pop("fingerprint") != one["depth.json"]["fingerprint"], "the clip's path is a part of it"
    assert made == one | {"depth.json": {k: v for k, v in one["depth.json"].items() if k != "fingerprint"}}


@pytest.mark.slow
def test_a_chunk_that_fails_stops_the_job_with_its_reason(bundle, openjd, cut_clip, worker, tmp_path):
    folder = bundle(cut_clip, more=("--parameter", "broken=10"))
    told = openjd("run", folder, code=1)
    assert "openjd_fail: An unexpected error occurred (ZeroDivisionError: something went wrong inside)." in told
    assert "Averaging" not in told.split("openjd_fail")[1]
    depth = tmp_path / "depths" / cut_clip.name
    assert not (depth / "depth.json").exists()
    assert worker("merge", depth).returncode == exit_codes.INCOMPLETE


def test_what_no_bundle_can_have_is_refused(bundle, worker, cut_clip, clip, tmp_path):
    assert "needs a CLIP" in bundle(code=exit_codes.USAGE)
    assert "has no plan" in bundle(more=("--planned", tmp_path), code=exit_codes.USAGE)
    strange = tmp_path / "{{clip}}"
    shutil.copytree(clip, strange)
    assert "contains braces" in bundle(strange, code=exit_codes.USAGE)
    strange = tmp_path / "two\nlines"
    shutil.copytree(clip, strange)
    assert "cannot have, such as the end of a line" in bundle(strange, code=exit_codes.USAGE)
    twice = ("--planned", tmp_path / "depths" / "clip0", "--planned", tmp_path / "depths" / "clip0")
    worker("plan", clip, "--output", tmp_path / "depths" / "clip0", "--estimator", "phased")
    assert "one output folder" in bundle(more=twice, code=exit_codes.USAGE)


def test_clips_of_one_name_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips = ["a/plate.mov", "b/Plate.mov", "c/plate-2", "..", "/"]
    assert farm._own_names(clips) == ["plate", "Plate-2", "plate-2-2", tmp_path.parent.name, "clip"]
    for name in ("street.0001.png", "street.0002.png", "still.png"):
        (tmp_path / name).touch()
    assert farm._own_names(["street.0002.png", "still.png"]) == ["street", "still"]
    assert farm._own_names(["/a/...mov", "/a/..mov", "/a/take. .mov"]) == ["clip", "clip-2", "take"]


def test_clips_of_one_name_are_told_apart_in_the_queue():
    def plan(path, *files):
        source = Source(kind="sequence" if files else "movie", path=path, files=files)
        return SimpleNamespace(job=SimpleNamespace(source=source))

    frames = ("plate.1001.exr", "plate.1002.exr")
    same = [plan("/sh010/plate", *frames), plan("/sh020/bg", *frames), plan("/a/plate.mov"), plan("/b/a/plate.mov")]
    labels = bundles.labels_of([*same, plan("/plate.mov"), plan("/street.mov")])
    assert labels == ["plate (sh010)", "plate (bg)", "plate (a)", "plate (a) 2", "plate", "street"]
