"""The verb ``models`` as a process, against a stand-in for the hub."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys

import pytest

from inference.commands.display import summary as describe
from inference.contract import environment, events, exit_codes
from inference.contract.job import Job
from inference.estimators.stereodiff import settings
from inference.media import source
from inference.models import store, verification
from inference.run import inputs
from tests.inference.support.estimators.brightness import MODEL
from tests.inference.support.hub import Hub
from tests.inference.support.small_models import HEAD, content, write_models

ACCEPT = ("--accept-license", "brightness-only")
PATH = "unet.safetensors"
SIZE = MODEL.files[0].size
PRODUCT = {
    "depthcrafter",
    "svd-xt",
    "tcmonodepth-small",
    "monst3r",
    "robust-video-matting",
    "video-depth-anything-small",
    "video-depth-anything-metric-small",
}
"""All weights of the product."""


@pytest.fixture
def hub(tmp_path):
    with Hub(write_models(tmp_path / "served", MODEL)) as serving:
        yield serving


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def models(worker, hub, home):
    """Run the verb with a data folder of its own."""
    worker.environment = {
        name: value for name, value in worker.environment.items() if not name.startswith(("HF_", "FATHOM_"))
    } | {"FATHOM_HOME": str(home), "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home.parent / "hf")}

    def run(*arguments, **options):
        return worker("models", *arguments, **{"stdin": subprocess.DEVNULL, **options})

    run.start = lambda *arguments, **options: worker.start("models", *arguments, **options)
    return run


@pytest.fixture
def monst3r(worker, models, tmp_path):
    """A hub that has a small MonST3R, of which Fathom fixes no revision."""
    small = tuple(dataclasses.replace(file, size=1000) for file in settings.MONST3R.files)
    with Hub(write_models(tmp_path / "other", dataclasses.replace(settings.MONST3R, files=small))) as serving:
        worker.environment |= {"HF_ENDPOINT": serving.endpoint}
        yield serving


def partial(home):
    """The bytes of the file that have come."""
    return next((path.stat().st_size for path in home.glob("huggingface/hub/*/blobs/*.incomplete")), 0)


def test_the_command_that_is_told_keeps_to_the_data_folder(models, worker, home):
    (told,) = json.loads(models("list", "--json", "depthcrafter").stdout)
    command = shlex.split(told["download"])
    assert command[-5:] == ["--data-folder", str(home), "models", "download", "depthcrafter"]
    del worker.environment["FATHOM_HOME"]
    listing = [*command[:-2], "list", "--json", "depthcrafter"]
    done = subprocess.run(listing, env=worker.environment, capture_output=True, text=True, check=True)
    (there,) = json.loads(done.stdout)
    assert there["folder"] == told["folder"] and there["folder"].startswith(str(home))


def test_the_whole_life_of_weights(models, hub, home):
    listed = {each["name"]: each for each in json.loads(models("list", "--json").stdout)}
    assert set(listed) == {"brightness", *PRODUCT}
    entry = listed["brightness"]
    assert (entry["state"], entry["can_run"], entry["missing_size"]) == ("missing", False, SIZE)
    assert (entry["estimators"], entry["accepted"], entry["checksums"]) == (["brightness", "staged"], None, None)
    assert (entry["pin"], entry["revision_open"], entry["studio"], entry["size"]) == (None, False, False, SIZE)
    assert entry["files"] == [{"path": PATH, "size": SIZE, "sha256": "", "there": False}]
    assert entry["licence"]["summary"] == "For tests only." and "models download brightness" in entry["download"]
    nothing = models("path", "brightness")
    assert nothing.returncode == exit_codes.MISSING and "models download brightness" in nothing.stderr
    assert nothing.stdout == "" and models("verify", "brightness").returncode == exit_codes.MISSING

    done = models("download", "brightness", *ACCEPT)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("Brightness's network: 3 MB of nobody/brightness to download. License 'brightness-only'")
    assert "Downloading Brightness's network (3 MB)" in said
    assert done.stdout.startswith("The weights are downloaded and verified (0:0")

    shown = models("list", "brightness").stdout
    for words in (
        "brightness - Brightness's network, for brightness, staged",
        "(confirmed by the hub)",
        "downloaded and verified",
    ):
        assert words in shown
    place = models("path", "brightness").stdout.strip()
    assert place == str(store.folder(MODEL)) and os.listdir(place) == [PATH]
    assert models("verify", "brightness").returncode == 0

    with open(os.path.join(place, PATH), "r+b") as file:
        file.write(b"?")
    bad = models("verify", "brightness")
    assert bad.returncode == exit_codes.MISSING
    assert f"{place}/{PATH} are damaged" in bad.stderr and "models download brightness" in bad.stderr
    assert models("download", "brightness").returncode == 0, "the license is not asked for again"
    assert models("verify", "brightness").returncode == 0

    gone = models("remove", "brightness")
    assert gone.stdout == "brightness: removed, 3 MB freed.\n"
    assert not list(home.glob("huggingface/hub/models--*"))
    assert models("remove", "brightness").stdout == "brightness: nothing to remove.\n"


def test_progress_has_bytes_rate_and_time_left():
    event = events.Progress(done=1.5e9, total=4.5e9, seconds_left=150.0)
    assert describe(event) == "1.5 GB of 4.5 GB, 20 MB/s, 2:30 left"
    assert describe(events.Progress(done=891.0, total=1e6)) == "891 bytes of 1 MB"


def test_events_of_a_download(models, helpers):
    done = models("download", "brightness", *ACCEPT, "--events")
    heard = helpers.events_of(done.stdout)
    assert [each["event"] for each in heard if each["event"] != "progress"] == ["stage", "stage", "done"]
    last = [each for each in heard if each["event"] == "progress"][-1]
    assert last["done"] == last["total"] == SIZE
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "interrupted", "parent gone"])
def test_a_download_goes_on_after_its_end(models, hub, home, helpers, how):
    hub.faults.pause = 0.005
    options = ["--parent-pipe"] if how == "parent gone" else []
    process = models.start("download", "brightness", *ACCEPT, "--events", *options, stdin=subprocess.PIPE)
    helpers.wait_for(lambda: partial(home) > 300_000, "the first bytes")
    if how == "killed":
        process.kill()
    elif how == "interrupted":
        process.send_signal(signal.SIGINT)
    else:
        process.stdin.close()
        process.stdin = None
    out, err = process.communicate(timeout=60)
    if how != "killed":
        assert process.returncode == exit_codes.CANCELLED, err
        assert helpers.events_of(out)[-1]["code"] == exit_codes.CANCELLED
    had = partial(home)
    assert had > 300_000
    assert json.loads(models("list", "--json", "brightness").stdout)[0]["partial_size"] == had
    hub.faults.pause = 0.0
    hub.log.clear()
    done = models("download", "brightness")
    assert done.returncode == 0, done.stderr
    (request,) = [each for each in hub.log if "/content/" in each.path]
    assert request.range == f"bytes={had}-" and request.sent == SIZE - had, "no byte came twice"
    assert (store.folder(MODEL) / PATH).read_bytes() == content(MODEL.repository + PATH, SIZE)


def test_a_licence_that_is_not_accepted(models, hub, helpers):
    refused = models("download", "brightness", "--events")
    assert refused.returncode == exit_codes.UNSUPPORTED and hub.log == []
    (error,) = helpers.events_of(refused.stdout)
    assert "Brightness license" in error["what"] and "--accept-license brightness-only" in error["hint"]
    wrong = models("download", "brightness", "--accept-license", "brightness")
    assert wrong.returncode == exit_codes.USAGE and "There is no license 'brightness'" in wrong.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("answer", "code"), [("brightness-only", exit_codes.OK), ("yes", exit_codes.UNSUPPORTED)])
def test_a_terminal_is_asked_for_the_licence(models, hub, answer, code):
    import pty

    leader, follower = pty.openpty()
    process = models.start("download", "brightness", stdin=follower)
    os.close(follower)
    os.write(leader, f"{answer}\n".encode())
    _, err = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == code, err
    assert "Type its name, brightness-only, to accept it" in err
    assert bool(hub.log) == (code == exit_codes.OK)


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("answer", "code"), [("yes", exit_codes.OK), ("", exit_codes.UNSUPPORTED)])
def test_on_a_terminal_the_newest_revision_is_offered(models, monst3r, answer, code):
    import pty

    leader, follower = pty.openpty()
    process = models.start("download", "monst3r", "--accept-license", "cc-by-nc-sa-4.0", stdin=follower)
    os.close(follower)
    os.write(leader, f"{answer}\n".encode())
    _, err = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == code, err
    assert f"{HEAD} of 2025-01-31" in err and "Type yes to use it" in err
    assert bool(monst3r.sent()) == (code == exit_codes.OK)


def test_offline_is_offline(models, hub, worker):
    for arguments, extra in (((), {"HF_HUB_OFFLINE": "1"}), (("--offline",), {})):
        done = models("download", "brightness", *ACCEPT, *arguments, env=worker.environment | extra)
        assert done.returncode == exit_codes.MISSING and "offline" in done.stderr
    assert hub.log == []


def test_a_folder_in_the_place_of_the_hub(models, hub, tmp_path):
    done = models("download", "brightness", *ACCEPT, "--from", tmp_path / "served")
    assert done.returncode == 0 and hub.log == [], done.stderr
    assert "never compared with the hub's" in models("list", "brightness").stdout
    wrong = models("download", "brightness", "--from", tmp_path / "nowhere")
    assert wrong.returncode == exit_codes.USAGE and "is not a folder" in wrong.stderr


def test_names_are_checked(models):
    for action in ("list", "download", "verify", "path", "remove"):
        done = models(action, "brightnes")
        assert (
            done.returncode == exit_codes.USAGE
            and "brightness, depthcrafter, svd-xt, tcmonodepth-small, monst3r" in done.stderr
        )
        assert "Traceback" not in done.stderr
    assert models("remove").returncode == exit_codes.USAGE, "everything is not removed by leaving out the names"


def test_an_estimate_says_what_it_lacks_and_notices_damage(models, worker, clip, tmp_path):
    def estimate():
        return worker("estimate", clip, "--output", tmp_path / "out", "--estimator", "brightness")

    lacking = estimate()
    assert lacking.returncode == exit_codes.MISSING
    assert "Brightness's network (3 MB, Brightness license)" in lacking.stderr
    models("download", "brightness", *ACCEPT)
    with open(store.folder(MODEL) / PATH, "r+b") as file:
        file.write(b"?")
    damaged = estimate()
    assert damaged.returncode == exit_codes.MISSING and "Checking Brightness's network" in damaged.stderr
    assert f"{PATH} are damaged" in damaged.stderr and "models download brightness" in damaged.stderr
    models("download", "brightness")
    assert estimate().returncode == 0
    (weights,) = json.loads((tmp_path / "out" / "depth.json").read_text())["weights"]
    assert (weights["licence"], weights["revision"]) == ("Brightness license", MODEL.revision)
    assert len(weights["sha256"]) == 64


@pytest.mark.slow
def test_other_weights_are_another_job(models, worker, clip, tmp_path):
    """What one set of weights has begun, another does not go on with."""
    models("download", "brightness", *ACCEPT)
    before = verification.ready([MODEL])
    served = tmp_path / "served" / MODEL.repository / PATH
    served.write_bytes(bytes(SIZE))
    models("remove", "brightness")
    models("download", "brightness")
    after = verification.ready([MODEL])
    job = Job(source=source.describe(clip), output=str(tmp_path / "out"), estimator="brightness")
    read = inputs.Inputs(job, inputs.note(job), first=1001, last=1012)
    keys = {read.key(versions={}, device="cpu", weights=weights) for weights in (before, after, before)}
    assert len(keys) == 2


def test_without_the_library_it_says_how_to_get_it(models, worker, tmp_path):
    """It knows the user's token of the hub; a mirror is asked without it."""
    del worker.environment["HF_ENDPOINT"]
    hidden = "import sys, runpy; sys.modules['huggingface_hub'] = None; sys.argv = sys.argv[1:]; "
    command = [*worker.command()[:3], "-c", hidden + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    done = subprocess.run(
        [*command, worker.command()[3], "models", "download", "brightness", *ACCEPT],
        capture_output=True,
        text=True,
        env=worker.environment,
        check=False,
    )
    assert done.returncode == exit_codes.MISSING and "Traceback" not in done.stderr
    assert "huggingface_hub is not installed" in done.stderr and "full" in done.stderr


def test_without_any_package_they_are_listed_all_the_same(models, worker, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(*arguments):
        command = [
            python,
            "-I",
            worker.command()[3].replace("tests/inference/support/worker.py", "inference/__main__.py"),
        ]
        return subprocess.run(
            [*command, "models", *arguments], capture_output=True, text=True, env=worker.environment, check=False
        )

    assert {each["name"] for each in json.loads(run("list", "--json").stdout)} == PRODUCT
    assert run("path").returncode == exit_codes.MISSING and run("remove", "svd-xt").returncode == 0
    lacking = run("download")
    assert lacking.returncode == exit_codes.MISSING and "-m pip install -r" in lacking.stderr


def test_help_says_what_there_is(models):
    shown = models("--help").stdout + models("download", "--help").stdout
    for word in ("list", "download", "verify", "path", "remove", "--accept-license", "--from", "--offline", "--token"):
        assert word in shown


def test_the_newest_revision_is_taken_where_that_is_said_and_kept(models, monst3r):
    arguments = ("download", "monst3r", "--accept-license", "cc-by-nc-sa-4.0", "--revision", "monst3r=newest")
    done = models(*arguments)
    assert done.returncode == 0, done.stderr
    monst3r.faults.newest = "f" * 40
    assert models(*arguments).returncode == 0
    (entry,) = json.loads(models("list", "--json", "monst3r").stdout)
    assert (entry["revision"], entry["pin"]["chosen"], entry["revision_open"]) == (HEAD, "user", False)


def test_a_folder_that_was_chosen_is_the_studios(models, hub, home, monkeypatch):
    environment.choose_weights_folder(home, hub.folder)
    (entry,) = json.loads(models("list", "--json", "brightness").stdout)
    assert entry["studio"] and entry["folder"].startswith(str(hub.folder))
    environment.choose_weights_folder(home, home / "gone")
    failed = models("list", "--json", "brightness")
    assert failed.returncode == exit_codes.USAGE and "gone, set in Weights Folder in Fathom's" in failed.stderr


@pytest.mark.slow
def test_a_revision_that_fathom_does_not_fix_is_named_on_the_command_line(models, monst3r):
    accept = ("--accept-license", "cc-by-nc-sa-4.0")
    assert "a revision that you choose with the first download" in models("list", "monst3r").stdout
    first = models("download", "monst3r", *accept)
    assert first.returncode == exit_codes.UNSUPPORTED and f"--revision monst3r={HEAD}" in first.stderr
    assert models("download", "monst3r", *accept, "--revision", "monst3r").returncode == exit_codes.USAGE
    fixed = models("download", "brightness", *ACCEPT, "--revision", "brightness=newest")
    assert fixed.returncode == exit_codes.USAGE and "'newest' is not a revision of brightness" in fixed.stderr
    second = models("download", "monst3r", *accept, "--revision", f"monst3r={HEAD}")
    assert second.returncode == 0, second.stderr
    shown = models("list", "monst3r").stdout
    (entry,) = json.loads(models("list", "--json", "monst3r").stdout)
    assert (entry["revision"], entry["pin"]["chosen"], entry["state"]) == (HEAD, "user", "ready")
    assert f"{HEAD[:12]} (chosen on 2" in shown and "monst3r - MonST3R's network, for stereodiff" in shown
