"""Estimators in stages: what a run with given parameters needs, and depth sequences that it takes up."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.contract import depth_sequence, exit_codes, plate_files, records
from inference.contract.job import Source
from inference.contract.made_mattes import MadeMattes
from inference.media.exr import read_map
from inference.media.source import describe
from inference.run import checks


@pytest.fixture
def weights(worker, monkeypatch):
    """The second stage's weights lie there, and the worker finds them."""
    from tests.inference.support.estimators.brightness import MODEL
    from tests.inference.support.stored import put_in_place

    monkeypatch.setenv("FATHOM_HOME", worker.environment["FATHOM_HOME"])
    put_in_place(MODEL, {"unet.safetensors": bytes(1000)})


@pytest.fixture
def staged(worker):
    """Run the estimator in stages."""

    def run(clip, output, *arguments):
        return worker("estimate", clip, "--output", output, "--estimator", "staged", *arguments)

    return run


@pytest.fixture
def given(worker, clip, tmp_path):
    """A depth sequence of the clip."""
    assert worker.estimate(clip, tmp_path / "given").returncode == 0
    return tmp_path / "given"


def maps(folder):
    return np.stack([read_map(folder / depth_sequence.disparity_name(n)) for n in range(1001, 1013)])


def test_the_first_stage_alone_needs_no_weights_of_the_second(worker, staged, clip, tmp_path):
    worker.environment |= {"FATHOM_HOME": str(tmp_path / "nowhere")}
    done = staged(clip, tmp_path / "out")
    assert done.returncode == exit_codes.MISSING and "Brightness's network" in done.stderr
    done = staged(clip, tmp_path / "out", "--parameter", "stage=1")
    assert done.returncode == 0, done.stderr
    sequence = depth_sequence.load(tmp_path / "out")
    assert (sequence.weights, sequence.parameters["stage"], sequence.width) == ((), "1", 32)


def test_a_depth_sequence_is_taken_up_and_recorded(weights, staged, given, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert staged(clip, tmp_path / "out", "--parameter", "stage1_from=given").returncode == 0
    sequence = depth_sequence.load(tmp_path / "out")
    assert sequence.parameters["stage1_from"] == str(given) and len(sequence.weights) == 1
    assert sequence.quantity == "inverse_depth", "the taken up sequence's own"
    assert np.allclose(maps(tmp_path / "out"), maps(given).mean((1, 2))[:, None, None] + 1, atol=1e-6)
    again = staged(clip, tmp_path / "again", "--parameter", f"stage1_from={given / 'depth.json'}")
    assert again.returncode == 0 and depth_sequence.load(tmp_path / "again").fingerprint == sequence.fingerprint


def test_a_job_file_may_name_the_folder_from_where_it_is_run(
    weights, worker, staged, given, clip, tmp_path, monkeypatch
):
    from inference.contract import job
    from inference.media.source import describe

    asked = job.Job(
        source=describe(clip),
        output=str(tmp_path / "out"),
        estimator="staged",
        parameters={"stage1_from": "given"},
    )
    job.save(asked, tmp_path / "job.json")
    monkeypatch.chdir(tmp_path)
    assert worker("estimate", "--job", tmp_path / "job.json").returncode == 0
    assert depth_sequence.load(tmp_path / "out").parameters["stage1_from"] == str(given)
    both = worker("estimate", "--job", tmp_path / "job.json", "--parameter", "stage=1")
    assert both.returncode == exit_codes.USAGE and "--parameter cannot be combined" in both.stderr


def test_a_run_goes_on_only_with_the_same_depth_sequence(weights, worker, staged, given, clip, tmp_path, helpers):
    arguments = ("--parameter", f"stage1_from={given}", "--parameter", "pause=0.3")
    output = tmp_path / "out"

    def broken_off():
        process = worker.fork("estimate", clip, "--output", output, "--estimator", "staged", *arguments, "--events")
        helpers.wait_for(lambda: len(list(output.glob("*.exr"))) >= 3, "three maps")
        process.kill()
        return process.communicate()[0]

    broken_off()
    assert "from the beginning" not in broken_off(), "the same sequence"
    assert worker.estimate(clip, given, "--seed", "5", "--overwrite").returncode == 0
    done = staged(clip, output, *arguments, "--events")
    assert done.returncode == 0 and "from the beginning" in done.stdout
    assert np.allclose(maps(output), maps(given).mean((1, 2))[:, None, None] + 1, atol=1e-6)


def test_depth_of_another_clip_or_of_the_clip_before_it_changed_is_said(given, clip, tmp_path):
    """What a scene names stays named when another clip is shown."""
    sequence, source = depth_sequence.load(given), describe(clip)
    made = depth_sequence.read(given)

    def said(of, **facts):
        depth_sequence.save(replace(sequence, **facts), given)
        heard = []
        checks.warn_of_other_clip(str(given), of, heard.append)
        return [event.message for event in heard]

    assert not said(source) and not said(source, plate_files=None)
    assert not said(source, source=replace(sequence.source, path=str(tmp_path / "elsewhere")))
    names = tuple(f"avenue.{name.split('.')[-2]}.png" for name in source.files)
    (message,) = said(replace(source, files=names))
    assert f"is of {sequence.source.files[0]}, and this clip is avenue.1001.png" in message
    shots = [tuple(name.replace("plate", shot) for name in source.files) for shot in ("sh010", "sh020")]
    assert len(said(replace(source, files=shots[1]), source=replace(sequence.source, files=shots[0]))) == 1
    assert not said(replace(source, files=shots[0][2:]), source=replace(sequence.source, files=shots[0]))
    movie = Source(kind="movie", path=str(tmp_path / "street.mov"), fps=24.0)
    assert len(said(replace(movie, path=str(tmp_path / "street2.mov")), source=movie)) == 1
    (message,) = said(replace(movie, fps=48.0), source=movie)
    assert "is of 24 frames/s, and this clip has 48" in message
    (message,) = said(source, plate_files=replace(made.plate_files, size=1))
    assert "was estimated before the clip changed" in message


def test_mattes_of_another_clip_or_of_the_clip_before_it_changed_are_said(clip, tmp_path):
    source = describe(clip)
    (tmp_path / "matte.1001.exr").touch()

    def said(of, **facts):
        record = MadeMattes(
            fingerprint="made",
            plate=source.path,
            first_frame=1001,
            last_frame=1001,
            network="network",
            sha256="0" * 64,
            plate_files=plate_files.look(source, 1001, 1001),
        )
        (tmp_path / "mattes.json").write_text(records.dumps(replace(record, **facts)))
        heard = []
        checks.warn_of_other_mattes(str(tmp_path), of, heard.append)
        return [event.message for event in heard]

    assert not said(source) and not said(source, plate_files=None)
    assert not said(source, plate=f"/elsewhere/{Path(source.path).name}")
    (message,) = said(source, plate_files=replace(plate_files.look(source, 1001, 1001), size=1))
    assert "were made before the clip changed" in message
    (message,) = said(source, plate="/clips/avenue.mov")
    assert f"are of avenue.mov, and this clip is {Path(source.path).name}" in message
    (tmp_path / "mattes.json").write_text("{}")
    heard = []
    checks.warn_of_other_mattes(str(tmp_path), source, heard.append)
    assert not heard


def test_what_is_no_depth_sequence_is_refused_before_anything_else(staged, given, clip, tmp_path):
    for folder, why in ((tmp_path, "contains no depth.json"), (tmp_path / "nowhere", "does not exist")):
        done = staged(clip, tmp_path / "out", "--parameter", f"stage1_from={folder}")
        assert done.returncode == exit_codes.USAGE, done.stderr
        assert f"--parameter stage1_from is not a depth sequence: {folder} {why}" in done.stderr
    (given / "depth.json").write_text(json.dumps({"width": 1}))
    done = staged(clip, tmp_path / "out", "--parameter", f"stage1_from={given}")
    assert done.returncode == exit_codes.USAGE and "is not a depth sequence" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_result_is_never_written_over_what_it_is_made_from(weights, staged, given, clip):
    done = staged(clip, given, "--parameter", f"stage1_from={given}", "--overwrite")
    assert done.returncode == exit_codes.BAD_OUTPUT
    assert f"would overwrite {given}, the depth sequence set by --parameter stage1_from" in done.stderr


def test_a_stage_that_there_is_not_is_refused(staged, clip, tmp_path):
    done = staged(clip, tmp_path / "out", "--parameter", "stage=2")
    assert done.returncode == exit_codes.USAGE and "one of both, 1, not '2'" in done.stderr


def test_an_estimator_without_stages_refuses_them_in_one_sentence(worker, clip, tmp_path):
    for named in ("stage=1", "stage1_from=somewhere"):
        done = worker("estimate", clip, "--output", tmp_path / "out", "--parameter", named)
        assert done.returncode == exit_codes.USAGE
        (line,) = done.stderr.splitlines()
        assert f"The estimator automatic has no parameter '{named.partition('=')[0]}'" in line
