"""Suites through the command line: clips prepared, estimates made once, tables printed."""

import json
import os
import shutil
import signal

import cv2
import numpy as np
import pytest
from ground_truth_maker import write_truth

from inference.contract import exit_codes

DEPTHS = [2 + np.mgrid[:48, :64][1] / 8 + index for index in range(4)]


@pytest.fixture
def benchmark(tmp_path):
    """Two clips whose brightness is their inverse depth, so that the estimator for tests is right but for rounding."""
    for name, factor in (("near", 1.0), ("far", 2.0)):
        depths = [depth * factor for depth in DEPTHS]
        moving = [depth > 6 * factor for depth in DEPTHS]
        write_truth(tmp_path / "truth" / name, depths, [np.eye(4)] * 4, moving=moving, rgb=True)
        for index, depth in enumerate(depths):
            image = np.repeat((np.round(250 * 2 * factor / depth)).astype(np.uint8)[..., None], 3, axis=2)
            cv2.imwrite(str(tmp_path / "truth" / name / "rgb" / f"{index:05d}.png"), image)
    return tmp_path


def write_suite(folder, more="", *, parameters="{refused: -2}"):
    (folder / "suite.yaml").write_text(
        f"""
title: Test
sets:
  - {{name: ours, truth: truth}}
estimators:
  - {{name: means, estimator: running_mean, parameters: {parameters}}}
  - {{name: other, estimator: running_mean, parameters: {{mode: b, refused: -2}}}}
{more}"""
    )
    return folder / "suite.yaml"


def test_a_suite_prints_its_table_and_is_not_estimated_twice(worker, benchmark):
    suite = write_suite(benchmark, "metrics: [absolute_relative, delta1, flicker]\nreference: means\nbands: true\n")
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 0, done.stderr
    assert "| Estimator | ours AbsRel ↓ | ours delta1 ↑ | ours flicker ↓ | Average rank ↓ |" in done.stdout
    assert "### means minus other" in done.stdout and "AbsRel by band of frequency" in done.stdout
    assert "means on ours, far" in done.stderr
    made = {path: path.stat().st_mtime_ns for path in (benchmark / "suite-work").rglob("*") if path.is_file()}
    assert len([path for path in made if path.name == "depth.json"]) == 4
    again = worker("evaluate", "--suite", suite, "--json")
    assert {path: path.stat().st_mtime_ns for path in made} == made, "nothing was made again"
    facts = json.loads(again.stdout)
    assert [row["estimator"] for row in facts["table"]] == ["means", "other"]
    assert {(clip["clip"], clip["frames"]) for clip in facts["clips"]} == {("far", 4), ("near", 4)}
    assert len(facts["clips"][0]["parts"][0]["all"]["absolute_relative"]) == 4
    assert len(facts["clips"][0]["bands"]["delta1"][0]) == 3  # F0, F1 and F2 of four frames


@pytest.mark.slow
def test_runs_have_seeds_of_their_own(worker, benchmark):
    done = worker("evaluate", "--suite", write_suite(benchmark, "runs: 2\n"), "--work", benchmark / "work")
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout
    seeds = {json.loads(path.read_text())["seed"] for path in (benchmark / "work").rglob("depth.json")}
    assert seeds == {0, 1}


def test_a_protocols_frames_are_what_estimators_see(worker, benchmark):
    suite = write_suite(benchmark, "protocol: depthcrafter\n")
    text = suite.read_text().replace("truth: truth", "truth: truth, only: [near]")
    suite.write_text(text)
    done = worker("evaluate", "--suite", suite, "--csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("estimator,set,region,metric,mean,spread,average_rank_of_region\n")
    images = sorted(path.name for path in (benchmark / "suite-work" / "clips").rglob("*.png"))
    assert images == [f"{n:05d}.png" for n in range(4)]


def test_a_refused_clip_leaves_a_gap_and_a_sentence(worker, benchmark):
    done = worker("evaluate", "--suite", write_suite(benchmark, parameters="{refused: -1}"))
    assert done.returncode == 0, done.stderr
    assert "| means | – | – | – | – |" in done.stdout and "| other | **" not in done.stdout
    assert "means on ours, near: The clip is unsupported. It shows nothing of use." in done.stderr


@pytest.mark.slow
def test_depth_that_is_there_is_measured_as_it_is(worker, benchmark):
    assert worker("evaluate", "--suite", write_suite(benchmark)).returncode == 0
    suite = benchmark / "again.yaml"
    suite.write_text(
        "sets:\n  - {name: ours, truth: truth}\nestimators:\n"
        "  - {name: kept, depth: 'suite-work/estimates/means/run0/{set}/{clip}'}\n"
        "  - {name: other, depth: 'suite-work/estimates/other/run0/{set}/{clip}'}\n"
    )
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 0, done.stderr
    assert "| kept | " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "nothing.yaml"], "There is no suite nothing.yaml"),
        (["--suite", "depthcrafter-figure-6"], "add --data long=DIR"),
        (["--suite", "depthcrafter-figure-6", "--data", "long"], "--data takes NAME=DIR"),
        (["--suite", "depthcrafter-figure-6", "--data", "long="], "--data takes NAME=DIR"),
        (["--suite", "depthcrafter-figure-6", "--rendering", "final"], "leave the other options out"),
        (["--suite", "depthcrafter-figure-6", "--truth", "x"], "leave the other options out"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(worker, arguments, words):
    done = worker("evaluate", *arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_missing_clips_and_parameters_are_said_before_any_work(worker, benchmark):
    suite = write_suite(benchmark)
    suite.write_text(suite.read_text().replace("truth: truth", "truth: truth, only: [middle]"))
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 2 and "has no clip middle; it has far, near" in done.stderr
    done = worker("evaluate", "--suite", write_suite(benchmark, parameters="{color: red}"))
    assert done.returncode == 2 and "has no parameter 'color'" in done.stderr
    assert not list(benchmark.rglob("depth.json"))


@pytest.mark.slow
def test_a_row_says_what_one_depth_for_all_of_a_shot_would_score(worker, benchmark):
    suite = write_suite(benchmark, "flat: true\nmetrics: [absolute_relative, delta1, flicker]\n")
    done = worker("evaluate", "--suite", suite, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["estimator"]: row["values"] for row in json.loads(done.stdout)["table"]}
    depth = 1 / np.mean(1 / np.stack(DEPTHS))  # least squares of inverse depth; both clips differ by a scale alone
    expected = np.mean(np.abs(depth - np.stack(DEPTHS)) / np.stack(DEPTHS))
    error, _, flicker = (value["mean"] for value in rows["one depth for a shot"])
    assert error == pytest.approx(expected, rel=1e-3) and flicker is None
    assert rows["means"][0]["mean"] < error
    refused = write_suite(benchmark, "flat: true\n", parameters="{refused: -1}")
    refused.write_text(refused.read_text().replace("mode: b, refused: -2", "mode: b, refused: -1"))
    done = worker("evaluate", "--suite", refused)
    assert "one depth" not in done.stdout, "what nothing was measured on has nothing to be compared with"


@pytest.mark.slow
def test_estimators_are_told_the_true_camera_where_the_suite_says_so(worker, benchmark):
    """As known to the job: another camera is another job, and what the ground truth lacks cannot be told."""
    suite = write_suite(benchmark)
    assert worker("evaluate", "--suite", suite).returncode == 0
    made = {path: path.stat().st_mtime_ns for path in (benchmark / "suite-work").rglob("depth.json")}
    suite.write_text(suite.read_text().replace("refused: -2}}", "refused: -2}, camera: path}"))
    assert worker("evaluate", "--suite", suite).returncode == 0
    assert len(made) == 4 and all(path.stat().st_mtime_ns > before for path, before in made.items())
    camera = benchmark / "truth" / "near" / "camera.json"
    facts = json.loads(camera.read_text())
    facts["frames"][2]["c2w_opencv"] = None
    camera.write_text(json.dumps(facts))
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 0 and "has no pose at 1 of its frames; use the camera 'lens'" in done.stderr


@pytest.mark.slow
def test_what_cannot_be_read_of_one_clip_leaves_the_others_figures(worker, benchmark):
    """An estimate's broken map, depth that nobody made, and ground truth that is cut short."""
    assert worker("evaluate", "--suite", write_suite(benchmark)).returncode == 0
    estimates = benchmark / "suite-work" / "estimates"
    map_ = estimates / "means" / "run0" / "ours" / "far" / "disparity.0002.exr"
    map_.write_bytes(map_.read_bytes()[:200])
    shutil.rmtree(estimates / "other" / "run0" / "ours" / "near")
    told = (benchmark / "suite.yaml").read_text().split("estimators:")[0]
    (benchmark / "made.yaml").write_text(
        f"{told}estimators:\n"
        '  - {name: means, depth: "suite-work/estimates/means/run{run}/{set}/{clip}"}\n'
        '  - {name: other, depth: "suite-work/estimates/other/run{run}/{set}/{clip}"}\n'
    )
    done = worker("evaluate", "--suite", benchmark / "made.yaml", "--json")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    clips = {(each["estimator"], each["clip"]): each for each in json.loads(done.stdout)["clips"]}
    assert "disparity.0002.exr" in clips["means", "far"]["failure"]
    assert "near does not exist" in clips["other", "near"]["failure"]
    assert clips["means", "near"]["values"] and clips["other", "far"]["values"]
    depth = benchmark / "truth" / "far" / "depth" / "00003.png"
    depth.write_bytes(depth.read_bytes()[:60])
    done = worker("evaluate", "--suite", benchmark / "made.yaml", "--markdown")
    assert done.returncode == 0 and "00003.png is truncated" in done.stderr
    assert "| ours | far | other | – | – | – |" in done.stdout and "| ours | near | means | 0." in done.stdout


@pytest.mark.parametrize("option", ["--work", "--report"])
def test_a_folder_that_cannot_be_written_is_said_before_any_work(worker, benchmark, option):
    (benchmark / "file").write_text("in the way")
    done = worker("evaluate", "--suite", write_suite(benchmark), option, benchmark / "file" / "deep")
    assert done.returncode == exit_codes.BAD_OUTPUT and "Traceback" not in done.stderr
    assert f"{benchmark / 'file'} is a file. Choose another folder." in done.stderr
    assert not list(benchmark.rglob("depth.json"))


def test_figures_are_printed_where_their_report_cannot_be_written(worker, benchmark):
    (benchmark / "report").mkdir()
    (benchmark / "report" / "ours").write_text("in the way of the clips' pages")
    done = worker("evaluate", "--suite", write_suite(benchmark), "--report", benchmark / "report")
    assert done.returncode == exit_codes.BAD_OUTPUT and "ours" in done.stderr.splitlines()[-1]
    assert "| means | " in done.stdout


def test_a_page_that_is_no_report_is_told_of_before_any_work(worker, benchmark):
    (benchmark / "report" / "index.html" / "in the way").mkdir(parents=True)
    done = worker("evaluate", "--suite", write_suite(benchmark), "--report", benchmark / "report")
    assert done.returncode == exit_codes.BAD_OUTPUT and "index.html exists and is not part of a report" in done.stderr
    assert not (benchmark / "suite-work").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_suite_that_was_stopped_goes_on_from_what_is_finished(worker, benchmark):
    suite = write_suite(benchmark, parameters="{refused: -2, pause: 0.4}")
    process = worker.start("evaluate", "--suite", suite)
    for line in process.stderr:
        if "means on ours, near" in line:  # its second clip
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == exit_codes.CANCELLED and "Traceback" not in err and not out
    (kept,) = benchmark.rglob("depth.json")
    before = kept.stat().st_mtime_ns
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 0 and kept.stat().st_mtime_ns == before
    assert len(list(benchmark.rglob("depth.json"))) == 4


@pytest.mark.slow
def test_a_clip_whose_images_have_changed_is_estimated_again(worker, benchmark):
    """As one that was rendered anew: its old depth would be measured against its new ground truth."""
    suite = write_suite(benchmark)
    assert worker("evaluate", "--suite", suite).returncode == 0
    estimates = benchmark / "suite-work" / "estimates"
    before = {path: path.read_bytes() for path in estimates.rglob("disparity.0002.exr")}
    for path in (benchmark / "truth" / "near" / "rgb").iterdir():
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    done = worker("evaluate", "--suite", suite)
    assert done.returncode == 0 and "ours, near has changed" in done.stderr
    assert "far has changed" not in done.stderr
    same = {path.parent.name: path.read_bytes() == held for path, held in before.items()}
    assert len(before) == 4 and same == {"near": False, "far": True}


@pytest.mark.parametrize("is_relative", [False, True])
def test_an_estimate_from_other_depth_than_there_is_now_is_made_again(worker, benchmark, is_relative):
    """A job names the folder alone, also of trained weights, which a training goes on writing."""
    suite = write_suite(benchmark)
    suite.write_text(suite.read_text().replace("truth: truth", "truth: truth, only: [near]"))
    assert worker("evaluate", "--suite", suite).returncode == 0
    work = benchmark / "suite-work"
    given, images = work / "estimates" / "means" / "run0" / "ours" / "near", work / "clips" / "ours" / "near" / "rgb"
    named = given.relative_to(benchmark) if is_relative else given
    parameters = f"{{stage: '1', stage1_from: '{named}'}}"
    suite.write_text(
        "sets: [{name: ours, truth: truth, only: [near]}]\n"
        f"estimators: [{{name: staged, estimator: staged, parameters: {parameters}}}]\n"
    )
    made = work / "estimates" / "staged" / "run0" / "ours" / "near" / "disparity.0002.exr"
    found = []
    for seed in (None, None, "5"):
        if seed:
            options = ("--estimator", "running_mean", "--parameter", "refused=-2", "--seed", seed, "--overwrite")
            assert worker("estimate", images, "--output", given, *options).returncode == 0
        done = worker("evaluate", "--suite", suite)
        assert done.returncode == 0, done.stderr
        found.append((made.stat().st_mtime_ns, made.read_bytes()))
    assert found[0] == found[1], "the same is not made twice"
    assert found[1][1] != found[2][1]
