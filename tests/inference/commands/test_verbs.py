"""What a person sees, and the command line's other verbs."""

import json
import os
import subprocess
import sys

import pytest

from inference.commands.display import duration, summary
from inference.contract import events, exit_codes
from tests.marks import rest_slow


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")]
)
def test_times_read_well(seconds, text):
    assert duration(seconds) == text


def test_the_summary_has_frames_pace_and_time_left():
    event = events.Progress(done=20.0, total=40.0, frames=18, frames_total=40, seconds_left=10.0)
    assert summary(event) == "18/40 frames, 2 frames/s, 0:10 left"
    assert summary(events.Progress(done=0.0, total=1.0, frames_total=3)) == "0/3 frames"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize("columns", rest_slow([120, 0]))
def test_on_a_terminal_there_is_a_bar(worker, clip, tmp_path, columns):
    import pty
    import termios

    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (30, columns))
    command = worker.command("estimate", clip, "--output", tmp_path, "--estimator", "running_mean")
    process = subprocess.Popen(
        [*command, "--parameter", "pause=0.3"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=follower,
        env=worker.environment,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(leader)
    out, _ = process.communicate()
    text = seen.decode()
    assert process.returncode == 0, text
    assert "Averaging:" in text and "%|" in text and "/12 frames" in text
    assert "frames/s" in text and "left" in text
    assert "Warning: It is only a test." in text
    assert out.decode().startswith("Depth of 12 frames is in ")


def test_elsewhere_there_are_plain_lines(worker, clip, tmp_path):
    done = worker.estimate(clip, tmp_path)
    assert done.stderr.splitlines() == ["Reading the clip", "Averaging", "Warning: It is only a test."]
    assert "\r" not in done.stderr and "%|" not in done.stderr


def test_help_names_the_exit_codes(worker):
    for arguments in (["--help"], ["estimate", "--help"], ["doctor", "--help"]):
        done = worker(*arguments)
        assert done.returncode == 0
        for code in (0, 1, 2, 3, 4, 5, 6, 130):
            assert f"  {code:3}  " in done.stdout


def test_no_verb_is_a_wrong_command(worker):
    done = worker()
    assert done.returncode == exit_codes.USAGE
    assert "VERB" in done.stderr


def test_estimators_are_listed_with_what_an_artist_must_know(worker):
    done = worker("estimators")
    assert done.returncode == 0
    assert "running_mean - Running Mean: For tests only." in done.stdout
    for words in ("license     GPL-3.0-or-later", "can run     yes", "inverse depth, camera, confidence", "pause=0.0"):
        assert words in done.stdout
    facts = {each["name"]: each for each in json.loads(worker("estimators", "--json").stdout)}
    assert {"parallax", "running_mean"} <= set(facts)
    assert facts["running_mean"]["can_run"] is True and facts["running_mean"]["missing_requirements"] == []
    assert facts["running_mean"]["parameters"][0]["name"] == "pause"


def test_an_estimator_that_can_do_less_without_its_weights_says_so(worker, tmp_path):
    worker.environment |= {"FATHOM_HOME": str(tmp_path)}
    told = worker("estimators").stdout
    staged = told[told.index("staged - ") :].split("\n\n")[0]
    assert "can run     no: Weights are missing" in staged and "with stage=1: yes" in staged
    stereodiff = told[told.index("stereodiff - ") :].split("\n\n")[0].splitlines()
    (alone,) = (line for line in stereodiff if "with stage=1: no: " in line)
    (refining,) = (line for line in stereodiff if "with stage1_from=DIR: no: " in line)
    assert "MonST3R" in alone and "DepthCrafter" not in alone and alone.endswith("download monst3r")
    assert "MonST3R" not in refining and refining.endswith("download depthcrafter svd-xt")
    assert "can run with stage=1 alone: Weights are missing" in worker("doctor").stdout
    facts = {each["name"]: each for each in json.loads(worker("estimators", "--json").stdout)}
    (variant,) = facts["staged"]["variants"]
    assert (variant["parameter"], variant["value"], variant["default_size"], variant["missing_requirements"]) == (
        "stage",
        "1",
        32,
        [],
    )
    assert facts["staged"]["missing_requirements"] and not facts["staged"]["can_run"]
    assert facts["staged"]["parameters"][1]["depth_sequence"] is True


def test_the_doctor_finds_nothing_wrong_here(worker):
    done = worker("doctor")
    assert done.returncode == 0, done.stdout
    for topic in ("Python", "numpy", "device", "memory", "disk", "data folder", "estimators"):
        assert f"[ ok ] {topic}: " in done.stdout or f"[note] {topic}: " in done.stdout


def test_the_doctor_names_what_is_missing_and_the_cure(worker, tmp_path):
    """With a Python that has none of the packages."""
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    main = worker.command()[3].replace("tests/inference/support/worker.py", "inference/__main__.py")
    for verb in ("doctor", "estimators"):
        done = subprocess.run(
            [python, "-I", main, verb], capture_output=True, text=True, env=worker.environment, check=False
        )
        assert "Traceback" not in done.stderr
        assert "numpy" in done.stdout
        assert "-m pip install -r" in done.stdout
    lacking = subprocess.run(
        [python, "-I", main, "doctor"], capture_output=True, text=True, env=worker.environment, check=False
    )
    assert lacking.returncode == exit_codes.MISSING
    assert "[MISSING] numpy: missing" in lacking.stdout
    refused = subprocess.run(
        [python, "-I", main, "estimate", "clip.mov", "--output", tmp_path / "out", "--events"],
        capture_output=True,
        text=True,
        env=worker.environment,
        check=False,
    )
    assert refused.returncode == exit_codes.MISSING
    assert json.loads(refused.stdout)["code"] == exit_codes.MISSING


def test_the_command_line_starts_soon_enough_to_be_asked_often(worker):
    """Listing estimators imports no heavy package."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import inference.commands.main; print(sorted(sys.modules))"
    root = worker.command()[3].rpartition("/tests/")[0]
    done = subprocess.run([sys.executable, "-I", "-c", code, root], capture_output=True, text=True, check=True)
    for heavy in ("numpy", "cv2", "numba", "torch", "psutil", "tqdm"):
        assert f"'{heavy}'" not in done.stdout
