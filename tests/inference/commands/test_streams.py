"""Standard streams that are closed, or fail on the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.contract import depth_sequence, exit_codes
from tests.footage_maker import stills
from tests.marks import rest_slow

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells close streams on other systems")


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return stills(tmp_path_factory.mktemp("plate"), range(1, 5))[0]


def shell(worker, plate, folder, redirection, *options):
    """Run an estimate in a shell with its streams redirected; the exit code is the worker's own."""
    command = worker.command("estimate", plate, "--output", folder, "--estimator", "running_mean", *options)
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", line, "bash", *command],
        env=worker.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "redirection",
    rest_slow(
        [
            *("2>&-", "1>&-", "0<&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"),
            *(">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "2>&1 | true", "| true", "2>&1 | head -n 1"),
        ],
        4,
        spread=True,
    ),
)
def test_an_estimate_goes_on_without_its_streams(redirection, worker, plate, tmp_path):
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    done = shell(worker, plate, tmp_path / "depth", redirection)
    assert done.returncode == exit_codes.OK, done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    found = {path.name for path in (tmp_path / "depth").iterdir()}
    maps = (depth_sequence.disparity_name, depth_sequence.confidence_name)
    assert found == {"depth.json", *(name(number) for name in maps for number in range(1, 5))}


@pytest.mark.parametrize("redirection", ["2>&-", "1>&- 2>&-", ">/dev/full 2>&1", "2>&1 | true"])
def test_what_goes_wrong_keeps_its_exit_code(redirection, worker, plate, tmp_path):
    done = shell(worker, plate, tmp_path / "depth", redirection, "--frames", "100-200")
    assert done.returncode == exit_codes.USAGE, done.stderr
    assert "Exception" not in done.stderr and not (tmp_path / "depth").exists()


@pytest.mark.parametrize(
    ("redirection", "code"),
    [("1>&-", exit_codes.OK), (">/dev/full", exit_codes.OK), ("2>&- | head -n 1", exit_codes.CANCELLED)],
)
def test_events_that_cannot_be_kept_end_nothing_but_a_reader_that_leaves_does(
    redirection, code, worker, plate, tmp_path
):
    done = shell(worker, plate, tmp_path / "depth", redirection, "--events", "--parameter", "pause=0.3")
    assert done.returncode == code, done.stderr
    assert (tmp_path / "depth" / "depth.json").exists() == (code == exit_codes.OK)


def inference(redirection, *arguments):
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    command = [sys.executable, "-m", "inference", *arguments]
    return subprocess.run(
        ["bash", "-c", line, "bash", *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("arguments", [("estimators",), ("--help",), ("estimate", "--help")])
def test_a_reader_that_has_had_enough_is_no_trouble(arguments):
    done = inference("| head -n 1", *arguments)
    assert (done.returncode, done.stderr) == (exit_codes.OK, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_list_that_could_not_be_written_is_said():
    done = inference(">/dev/full", "estimators")
    assert done.returncode == exit_codes.FAILED and len(done.stderr.splitlines()) == 1
    assert "could not be written" in done.stderr


def test_a_wrong_command_line_without_streams_is_still_that():
    assert inference("1>&- 2>&-", "estimate", "--nonsense").returncode == exit_codes.USAGE
    assert inference("0<&- 1>&- 2>&-", "estimate").returncode == exit_codes.USAGE
