"""Deadline 10's files, as text, and what its client is called with."""

import json
import shutil
import time

import pytest

from inference.contract import exit_codes
from inference.farm import sending


@pytest.fixture
def client(tmp_path, worker, monkeypatch):
    """Stand-ins of the farms' clients on the path, which note their arguments; `code` is what they end with."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(name, *, code=0):
        (folder / name).write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{folder}/arguments"\necho "asked"\necho "JobID=5f2"\nexit {code}\n'
        )
        (folder / name).chmod(0o755)
        return folder / "arguments"

    monkeypatch.setitem(worker.environment, "PATH", f"{folder}:/usr/bin:/bin")
    return install


def facts_of(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_a_clip_is_a_chain_of_jobs_whose_frames_are_chunks(bundle, cut_clip, clip, fathom, worker, tmp_path):
    folder = bundle(cut_clip, clip, kind="deadline", more=("--name", "Night"))
    first, second = sorted(folder.glob("clip.*"))
    jobs = [facts_of(path) for path in sorted(first.glob("*.job"))]
    plate = f"plate ({cut_clip.name})"
    assert [job["Name"] for job in jobs] == [
        f"{plate}: Check the plan", f"{plate}: Looking", f"{plate}: Averaging", f"{plate}: Writing",
        f"{plate}: Finishing the shot", f"{plate}: Merge",
    ]  # fmt: skip
    assert [job["Frames"] for job in jobs] == ["0", "0-1", "2-3", "4-5", "6-7", "0"]
    assert {job["BatchName"] for job in jobs} == {"Night"} and {job["ChunkSize"] for job in jobs} == {"1"}
    assert {job["Plugin"] for job in jobs} == {"CommandLine"}
    assert int(jobs[1]["TaskTimeoutSeconds"]) >= 3600
    output = tmp_path / "depths" / cut_clip.name
    assert jobs[1]["OutputDirectory0"] == str(output)
    look = facts_of(first / "02.plugin")
    assert look["ShellExecute"] == "False" and look["Executable"]
    assert look["Arguments"] == (
        f'-I -u "{fathom}/__main__.py" estimate "{cut_clip}" --planned "{output}" --chunks <STARTFRAME>-<ENDFRAME>'
    )
    assert facts_of(first / "06.plugin")["Arguments"].endswith(f'merge "{output}" --clip "{cut_clip}"')
    assert len(list(second.glob("*.job"))) == 6
    lines = (folder / "submit.txt").read_text().splitlines()
    assert len(lines) == 2 and lines[0].startswith(f'-SubmitMultipleJobs -dependent -job "{first}/01.job" "{first}')
    # a bundle with less takes the place of one with more
    shutil.rmtree(tmp_path / "depths" / cut_clip.name)
    bundle(clip, kind="deadline")
    assert not second.exists() and len(list(first.glob("*.job"))) == 6


def test_the_client_gets_the_jobs_of_each_clip_in_a_chain(bundle, clip, client):
    said = client("deadlinecommand")
    folder = bundle(clip, kind="deadline", more=("--send",))
    arguments = said.read_text().splitlines()
    assert arguments[:2] == ["-SubmitMultipleJobs", "-dependent"] and arguments.count("-job") == 6
    assert arguments[2:5] == ["-job", str(folder / "clip.01" / "01.job"), str(folder / "clip.01" / "01.plugin")]
    client("deadlinecommand", code=3)
    refused = bundle(clip, kind="deadline", more=("--send",), code=exit_codes.FAILED)
    assert "deadlinecommand ended with code 3: JobID=5f2" in refused


def test_of_what_a_client_says_the_end_is_kept(tmp_path):
    talker = tmp_path / "talker"
    talker.write_text("#!/bin/sh\nyes | head -c 3000000\nsleep 30 &\necho JobID=5f2\n")
    talker.chmod(0o755)
    begun = time.monotonic()
    assert sending._run([str(talker)], check=lambda: None) == "JobID=5f2"
    assert time.monotonic() - begun < 20, "what it started holds its output open"


def test_jobs_of_others_in_the_bundles_folder_are_not_sent(bundle, clip, client, tmp_path):
    said, folder = client("deadlinecommand"), tmp_path / "bundle"
    for foreign in ("clip.evil/01.job", "clip.02/evil.job", "clip.03/01.job"):
        (folder / foreign).parent.mkdir(parents=True)
        (folder / foreign).write_text("Plugin=CommandLine\n")
    (folder / "clip.evil" / "01.plugin").write_text("Executable=/tmp/evil\n")
    bundle(clip, kind="deadline", more=("--send",))
    jobs = [line for line in said.read_text().splitlines() if line.endswith(".job")]
    assert len(jobs) == 6 and {line.rpartition("/")[0] for line in jobs} == {str(folder / "clip.01")}
    assert (folder / "clip.evil" / "01.job").exists() and (folder / "clip.02" / "evil.job").exists()


def test_deadline_clouds_client_gets_the_bundle(bundle, clip, client):
    refused = bundle(clip, more=("--send",), code=exit_codes.MISSING)
    assert "the command deadline) is not installed here" in refused
    said = client("deadline")
    folder = bundle(clip, more=("--send",))
    assert said.read_text().splitlines() == ["bundle", "submit", str(folder), "--yes"]


def test_paths_that_no_command_line_can_have_are_refused(bundle, clip, tmp_path):
    strange = tmp_path / 'a "clip"'
    shutil.copytree(clip, strange)
    assert "has a quotation mark" in bundle(strange, kind="deadline", code=exit_codes.USAGE)


def test_as_the_farm_knows_them(bundle, clip):
    more = ("--farm-python", "/farm/python", "--farm-fathom", "/farm/inference")
    folder = bundle(clip, kind="deadline", more=more, here=False)
    found = facts_of(folder / "clip.01" / "01.plugin")
    assert found["Executable"] == "/farm/python" and '"/farm/inference/__main__.py"' in found["Arguments"]
    folder = bundle(clip, kind="flamenco", more=more, here=False)
    settings = json.loads((folder / "job.json").read_text())["settings"]
    assert (settings["python"], settings["fathom"]) == ("/farm/python", "/farm/inference")
