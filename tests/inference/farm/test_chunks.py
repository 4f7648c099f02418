"""A job in chunks by processes of their own: the result of one run, whatever happens on the way."""

import json
import os
import random
import shutil
import signal
import time
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import PyOpenColorIO
import pytest

from inference import estimators
from inference.common.failures import Failure
from inference.contract import depth_sequence, exit_codes, measured, own_files
from inference.farm import chunks as chunks_module
from inference.farm import merging, planning
from tests import footage_maker
from tests.inference.support import killed
from tests.marks import rest_slow

FEW = ("--frames", "12-19")
"""Two short shots of the clip with a cut."""


def by_phase(chunks):
    """The numbers of each phase's chunks."""
    return [[chunk["number"] for chunk in group] for _, group in groupby(chunks, lambda chunk: chunk["phase"])]


def test_the_plan_lists_chunks_phase_by_phase(farm, cut_clip):
    chunks = farm.plan(cut_clip)
    assert [chunk["number"] for chunk in chunks] == list(range(len(chunks)))
    assert [chunk["name"] for chunk in chunks] == [
        *["phased.look"] * 4, *["phased.mean"] * 2, *["phased.write"] * 4, *["finish"] * 2
    ]  # fmt: skip
    assert [chunk["frames"] for chunk in chunks[:4]] == [[1, 8], [9, 15], [16, 23], [24, 30]]
    assert {chunk["kind"] for chunk in chunks} == {"frame", "shot"}
    # the same again keeps the plan, so that nothing that is done is done again; another one replaces it
    identity = json.loads((farm.output / ".fathom" / "plan.json").read_text())["identity"]
    assert farm.plan(cut_clip) == chunks
    assert json.loads((farm.output / ".fathom" / "plan.json").read_text())["identity"] == identity
    assert len(farm.plan(cut_clip, frames=3)) > len(chunks)


def test_a_note_is_read_once_by_a_process_that_does_many_chunks(monkeypatch, tmp_path):
    read = []
    monkeypatch.setattr(
        chunks_module, "note_of", lambda folder, plan, number: read.append(number) or number % 2 or None
    )
    work = object.__new__(chunks_module._Work)
    work._folder, work._plan, work._notes = tmp_path, None, {}
    assert [work._note_of(number) for number in (1, 2, 1, 2)] == [1, None, 1, None]
    assert read == [1, 2, 2], "one that is missing may come"


def test_what_another_plan_has_made_of_a_shot_is_not_dropped(monkeypatch, tmp_path):
    """A clip that has changed is planned again, maybe while chunks of the plan before still run."""
    other = tmp_path / "disparity.0001.exr"
    other.write_bytes(b"of the new plan")

    def refuse(*_arguments, **_options):
        raise Failure(exit_codes.BAD_CLIP, "It has changed.")

    def of_another():
        raise planning.AnotherJob(exit_codes.USAGE, "It was planned again.")

    monkeypatch.setattr(planning, "check_clip", refuse)
    work = object.__new__(chunks_module._Work)
    work._folder, work._plan, work._watch = tmp_path, None, SimpleNamespace(check=of_another)
    chunk = planning.Chunk(phase=0, first_frame=1, last_frame=4, first_unit=0, last_unit=0)
    with pytest.raises(planning.AnotherJob):
        work._require_same_clip(chunk)
    assert other.exists()
    work._watch.check = lambda: None
    with pytest.raises(Failure, match="It has changed"):
        work._require_same_clip(chunk)
    assert not other.exists()


@pytest.mark.parametrize("full_size", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_processes_at_once_make_what_one_run_makes(farm, cut_clip, whole, helpers, full_size):
    more = ("--full-size",) if full_size else ()
    chunks = farm.plan(cut_clip, *more)
    for numbers in by_phase(chunks):
        processes = [farm.start(number) for number in numbers]
        for process in processes:
            assert process.communicate()[1] is not None and process.returncode == 0
    done = farm.merge("--events")
    assert done.returncode == 0, done.stdout + done.stderr
    assert farm.contents() == whole(*more)
    assert sorted(path.suffix for path in farm.output.iterdir()) == [*[".exr"] * 30, ".json"], "nothing else is left"
    told = [event["message"] for event in helpers.events_of(done.stdout) if event["event"] == "warning"]
    assert told == ["Shot 1 of 2: It is only a test.", "Shot 2 of 2: It is only a test."]
    # what a farm sends again later does no harm
    assert farm.do("0-3").returncode == farm.merge().returncode == 0
    assert farm.contents() == whole(*more)


def test_a_chunk_before_its_phase_says_so(farm, cut_clip):
    farm.plan(cut_clip)
    early = farm.do("4", "--events")
    assert early.returncode == exit_codes.EARLY
    assert "Chunk 4 cannot begin before the chunks 0-1 are done." in early.stdout
    assert farm.do("0-1").returncode == 0
    assert farm.do("4").returncode == 0, "the other shot's chunks do not matter"
    assert farm.do("5").returncode == exit_codes.EARLY


def test_merge_lists_what_is_missing_or_damaged(farm, cut_clip, whole, helpers):
    farm.plan(cut_clip)
    done = farm.merge()
    assert done.returncode == exit_codes.INCOMPLETE and "The chunks 0-11 of 12 are missing" in done.stderr
    assert farm.do("0-8,10").returncode == 0
    done = farm.merge()
    assert done.returncode == exit_codes.INCOMPLETE
    assert "The chunks 9,11 of 12 are missing" in done.stderr and "--chunks 9,11" in done.stderr
    scratch = farm.output / ".fathom"
    bright = scratch / "shot.0016-0030" / "bright" / "000003.npy"
    bright.write_bytes(bright.read_bytes()[:-8])
    done = farm.merge()
    assert "and chunk 2 is damaged" in done.stderr and not bright.exists()
    assert farm.do("2,9,11").returncode == 0
    (farm.output / "disparity.0020.exr").write_bytes(b"no map")
    done = farm.merge()
    assert done.returncode == exit_codes.INCOMPLETE and "Chunk 11 is damaged" in done.stderr
    assert not (farm.output / "depth.json").exists()
    assert farm.do("11").returncode == farm.merge().returncode == 0
    assert farm.contents() == whole()


def test_damaged_results_of_an_earlier_phase_are_named(farm, cut_clip):
    farm.plan(cut_clip)
    assert farm.do("0-1").returncode == 0
    (farm.output / ".fathom" / "shot.0001-0015" / "bright" / "000003.npy").write_bytes(b"no array")
    done = farm.do("4")
    assert done.returncode == exit_codes.INCOMPLETE
    assert "Chunk 0 left damaged files. Do it again: --chunks 0." in done.stderr
    assert farm.do("0,4").returncode == 0
    assert "ValueError" in (farm.output / ".fathom" / "chunks" / "000004.log").read_text()


def test_a_missing_result_of_an_earlier_phase_is_named(farm, cut_clip):
    farm.plan(cut_clip)
    assert farm.do("0-1").returncode == 0
    lost = farm.output / ".fathom" / "shot.0001-0015" / "bright" / "000003.npy"
    lost.unlink()
    done = farm.do("4")
    assert done.returncode == exit_codes.INCOMPLETE and f"{lost}, which chunk 0 left, is missing." in done.stderr
    assert "chunk 0 is damaged" in farm.merge().stderr
    assert farm.do("0,4").returncode == 0


@pytest.mark.slow
def test_killed_chunks_are_done_again(farm, cut_clip, whole, helpers):
    killed = ("--parameter", "killed=3")
    farm.plan(cut_clip, *killed)
    for number in (0, 2):
        process = farm.start(number)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert "chunks 0-11" in farm.merge().stderr
    assert farm.do().returncode == farm.merge().returncode == 0
    made = farm.contents()
    assert {name: made[name] for name in made if name.endswith(".exr")} == {
        name: data for name, data in whole().items() if name.endswith(".exr")
    }


def test_a_merge_that_another_computer_overtakes_has_the_same_result(farm, cut_clip, monkeypatch):
    there = str(Path(__file__).parents[1] / "support" / "estimators")
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, there])
    farm.plan(cut_clip)
    assert farm.do().returncode == 0
    notes = merging._notes

    def overtaken(folder, plan):
        assert farm.merge().returncode == 0
        return notes(folder, plan)

    monkeypatch.setattr(merging, "_notes", overtaken)
    assert merging.merge(farm.output, emit=lambda event: None) == depth_sequence.load(farm.output)


@pytest.mark.slow
def test_one_chunk_on_two_computers_is_done_once(farm, cut_clip, whole, helpers):
    farm.plan(cut_clip, "--parameter", "pause=0.05")
    for numbers in ("0-3", "4-5", "6-9", "10-11"):
        processes = [farm.start(numbers) for _ in range(3)]
        for process in processes:
            process.communicate()
            assert process.returncode == 0
    processes = [farm.worker.fork("merge", farm.output) for _ in range(2)]
    codes = [process.wait() for process in processes]
    assert 0 in codes and set(codes) <= {0, exit_codes.BAD_OUTPUT}, "one of them may find the other at work"
    made = farm.contents()
    assert {name: made[name] for name in made if name.endswith(".exr")} == {
        name: data for name, data in whole().items() if name.endswith(".exr")
    }


@pytest.mark.slow
def test_a_merge_that_is_killed_goes_on(farm, cut_clip, whole, helpers):
    farm.plan(cut_clip)
    assert farm.do().returncode == 0
    for _ in range(4):
        process = farm.worker.fork("merge", farm.output)
        helpers.wait_for(lambda: (farm.output / ".fathom" / "lock").exists() or process.poll() is not None, "the lock")
        process.kill()
        process.communicate()
    assert farm.merge().returncode == 0
    assert farm.contents() == whole()


def test_a_chunk_that_fails_has_its_reason_in_its_log(farm, cut_clip):
    farm.plan(cut_clip, "--parameter", "broken=10")
    done = farm.do("0-1", "--progress", "openjd")
    assert done.returncode == exit_codes.FAILED
    assert "openjd_fail: An unexpected error occurred (ZeroDivisionError: something went wrong inside)." in done.stdout
    assert "openjd_progress: 100.0" not in done.stdout and "openjd_status: Looking (shot 1 of 2)" in done.stdout
    assert "ZeroDivisionError" in (farm.output / ".fathom" / "chunks" / "000001.log").read_text()
    assert "chunks 1-11" in farm.merge().stderr, "the chunk before it is done"


def test_an_unsupported_shot_is_skipped_as_in_one_run(farm, cut_clip, tmp_path, worker, helpers):
    refused = ("--parameter", "refused=16")
    one = worker("estimate", cut_clip, "--output", tmp_path / "one", "--estimator", "phased", *refused)
    assert one.returncode == 0
    farm.plan(cut_clip, *refused)
    assert farm.do().returncode == farm.merge().returncode == 0
    assert farm.contents() == farm.contents(tmp_path / "one")


def test_shots_of_every_estimator_are_chunks(farm, cut_clip, worker, tmp_path, helpers):
    chunks = farm.plan(cut_clip, estimator="running_mean")
    assert [(chunk["name"], chunk["shot"]) for chunk in chunks] == [("finish", [1, 15]), ("finish", [16, 30])]
    assert worker.estimate(cut_clip, tmp_path / "one").returncode == 0
    assert farm.do("1").returncode == farm.do("0").returncode == farm.merge().returncode == 0
    assert farm.contents() == farm.contents(tmp_path / "one")


def test_another_clip_than_the_planned_one_is_refused(farm, cut_clip, worker, tmp_path, helpers):
    clip, moved = tmp_path / "clip", tmp_path / "moved"
    shutil.copytree(cut_clip, clip)
    farm.plan(clip)
    assert worker("plan", "--check", farm.output).returncode == 0
    assert farm.do().returncode == 0
    shutil.move(clip, moved)
    done = farm.merge()
    assert done.returncode == exit_codes.BAD_CLIP and "is not the clip that was planned" in done.stderr
    changed = moved / "plate.0003.png"
    stamp = changed.stat().st_mtime_ns
    os.utime(changed, ns=(stamp, stamp + 10**9))
    for command in (("merge", farm.output), ("plan", "--check", farm.output)):
        assert worker(*command, "--clip", moved).returncode == exit_codes.BAD_CLIP
    os.utime(changed, ns=(stamp, stamp))
    assert farm.merge("--clip", moved).returncode == 0, "the same files elsewhere"
    assert depth_sequence.load(farm.output).source.path == str(clip), "as the artist's computer knows it"


@pytest.mark.slow(seconds=15)
def test_a_chunk_reads_the_clip_and_the_mattes_that_were_planned(farm, cut_clip, worker, tmp_path):
    """On each computer: its clip may be an older copy, which the one that merges knows nothing of."""
    own, other, mattes = tmp_path / "own", tmp_path / "other", tmp_path / "mattes"
    for folder in (own, other, mattes):
        shutil.copytree(cut_clip, folder)
    changed = other / "plate.0015.png"
    stamp = changed.stat().st_mtime_ns
    changed.write_bytes((own / "plate.0012.png").read_bytes())
    chunks = farm.plan(own, "--full-size", "--mattes", mattes, *FEW)
    upsampling = next(chunk["number"] for chunk in chunks if chunk["name"] == "upsample")
    assert farm.do(f"0-{upsampling - 1}").returncode == 0

    def elsewhere(clip, *more):
        return worker("estimate", clip, "--planned", farm.output, "--chunks", upsampling, *more)

    refused = elsewhere(other)
    assert refused.returncode == exit_codes.BAD_CLIP and "is not the clip that was planned" in refused.stderr
    assert elsewhere(own, "--mattes", other).returncode == exit_codes.BAD_CLIP
    shutil.copy2(own / changed.name, changed)
    os.utime(changed, ns=(stamp, stamp // 1000 * 1000))  # as another kind of system shows a network disk's times
    assert elsewhere(other).returncode == farm.do().returncode == farm.merge("--clip", other).returncode == 0


def test_a_chunk_that_reads_no_clip_needs_none(farm, cut_clip, tmp_path):
    clip = tmp_path / "clip"
    shutil.copytree(cut_clip, clip)
    farm.plan(clip, *FEW)
    shutil.move(clip, tmp_path / "moved")
    assert farm.do().returncode == farm.merge("--clip", tmp_path / "moved").returncode == 0


def test_a_clip_that_changes_while_a_chunk_reads_it_leaves_no_note(farm, cut_clip, worker, tmp_path):
    clip = tmp_path / "clip"
    shutil.copytree(cut_clip, clip)
    farm.plan(clip, "--full-size", "--parameter", "pause=0.5", *FEW)
    process = farm.start("0")
    while not any(farm.output.glob(".fathom/shot*/bright/*.npy")):
        time.sleep(0.02)
    os.utime(clip / "plate.0012.png", (1, 1))
    assert process.communicate() and process.returncode == exit_codes.BAD_CLIP
    assert not any(farm.output.glob(".fathom/chunks/*.json"))
    assert not any(farm.output.glob(".fathom/shot*/bright/*.npy")), "what may be of another clip"


@pytest.mark.slow
def test_depth_that_a_job_takes_is_a_part_of_its_plan(farm, cut_clip, worker, tmp_path):
    given = tmp_path / "given"
    assert worker.estimate(cut_clip, given).returncode == 0
    farm.plan(cut_clip, "--parameter", f"complete_from={given}", estimator="parallax")
    assert worker("plan", "--check", farm.output).returncode == 0
    os.utime(given / "disparity.0003.exr", (1, 1))
    assert worker("plan", "--check", farm.output).returncode == exit_codes.BAD_CLIP


def test_a_finished_result_stays_until_a_plan_that_replaces_it_is_merged(farm, cut_clip, worker, whole, helpers):
    assert worker.estimate(cut_clip, farm.output).returncode == 0
    before = farm.contents()
    refused = worker("plan", cut_clip, "--output", farm.output, "--estimator", "phased")
    assert refused.returncode == exit_codes.BAD_OUTPUT
    farm.plan(cut_clip, "--overwrite")
    assert farm.do().returncode == 0
    assert farm.contents() == before
    assert farm.merge().returncode == 0
    assert farm.contents() == whole()


def test_files_that_fathom_did_not_write_are_not_believed(farm, cut_clip, tmp_path, helpers):
    farm.plan(cut_clip)
    scratch = farm.output / ".fathom"
    mine = farm.output / "holiday.jpg"
    mine.write_bytes(b"mine")
    assert farm.do("0-9").returncode == 0
    note = scratch / "chunks" / "000000.json"
    facts = json.loads(note.read_text())
    for path in ("holiday.jpg", "../clip.mov", "/etc/hostname"):
        note.write_text(json.dumps(facts | {"files": [{"path": path, "size": 1}]}))
        done = farm.merge()
        assert done.returncode == exit_codes.INCOMPLETE and "chunk 0 is damaged" in done.stderr
    assert mine.read_bytes() == b"mine"
    note.write_text(json.dumps(facts | {"plan": "another"}))
    assert "The chunks 0,10-11 of 12 are missing" in farm.merge().stderr
    shutil.rmtree(scratch / "chunks")
    (tmp_path / "elsewhere").mkdir()
    (scratch / "chunks").symlink_to(tmp_path / "elsewhere")
    assert farm.do("0").returncode == exit_codes.BAD_OUTPUT
    assert not list((tmp_path / "elsewhere").iterdir())
    (scratch / "chunks").unlink()
    plan = json.loads((scratch / "plan.json").read_text())
    empty = json.dumps(plan | {"phases": [*plan["phases"], plan["phases"][0]]})
    late = json.dumps(plan | {"chunks": [plan["chunks"][0] | {"phase": 99}]})
    for wrong in ("{", late, empty, json.dumps({"chunks": []})):
        (scratch / "plan.json").write_text(wrong)
        done = farm.do("0")
        assert done.returncode == exit_codes.USAGE and "cannot be used" in done.stderr


def test_a_note_that_is_no_note_of_the_plan_does_not_stay_in_the_way(farm, cut_clip):
    farm.plan(cut_clip)
    notes = farm.output / ".fathom" / "chunks"
    notes.mkdir(exist_ok=True)
    (notes / "000000.json").write_text('{"pl')
    late = {"plan": "the one before", "host": "", "device": "cpu", "seconds": 1}
    (notes / "000001.json").write_text(json.dumps(late))
    strange = {"first_frame": 1, "last_frame": 400, "status": "refused", "reason": ""}
    plan = json.loads((farm.output / ".fathom" / "plan.json").read_text())["identity"]
    (notes / "000010.json").write_text(json.dumps(late | {"plan": plan, "shots": [strange]}))
    assert "The chunks 0-11 of 12 are missing" in farm.merge().stderr
    assert farm.do().returncode == farm.merge().returncode == 0


def test_nothing_is_deleted_or_written_through_a_link(farm, cut_clip, tmp_path):
    farm.plan(cut_clip)
    theirs, scratch = tmp_path / "theirs", farm.output / ".fathom"
    theirs.mkdir()
    (theirs / "disparity.0001.exr").write_bytes(b"theirs")
    plan = json.loads((scratch / "plan.json").read_text())["identity"]
    (scratch / "chunks").mkdir(exist_ok=True)
    files = [{"path": ".fathom/low/disparity.0001.exr", "size": 1}]
    note = {"plan": plan, "host": "", "device": "cpu", "seconds": 1, "files": files}
    (scratch / "chunks" / "000000.json").write_text(json.dumps(note))
    (scratch / "low").symlink_to(theirs)
    for done in (farm.merge(), farm.do("1")):
        assert done.returncode == exit_codes.BAD_OUTPUT and "is a link" in done.stderr
    assert (theirs / "disparity.0001.exr").read_bytes() == b"theirs"
    (scratch / "low").unlink()
    scratch.rename(tmp_path / "elsewhere")
    scratch.symlink_to(tmp_path / "elsewhere")
    for done in (farm.do("1"), farm.merge()):
        assert done.returncode == exit_codes.BAD_OUTPUT and "is a link" in done.stderr
    assert [path.name for path in (tmp_path / "elsewhere" / "chunks").iterdir()] == ["000000.json"]


def test_nothing_is_written_once_the_folder_is_another_jobs(farm, cut_clip):
    scratch, target = farm.output / ".fathom", farm.output / "disparity.0001.exr"

    def plan(*more, **options):
        farm.plan(cut_clip, *more, **options)

    for change, why in (
        (lambda: plan(frames=3), "was planned again"),
        (lambda: plan("--seed", 5), "the work of another job"),
        ((scratch / "plan.json").unlink, "was planned again"),
        (lambda: shutil.rmtree(farm.output), "the work of another job"),
    ):
        plan()
        watch = planning.Watch(farm.output, planning.load(farm.output))
        with own_files.guarded(watch.check):
            own_files.save_text(target, "a map")
            target.unlink()
            with pytest.raises(planning.AnotherJob, match=why), own_files.atomic(target) as temporary:
                temporary.write_text("a late map")
                change()
                temporary.parent.mkdir(exist_ok=True)
                temporary.touch()
            with pytest.raises(planning.AnotherJob, match=why):
                own_files.save_text(target, "a later map")
        assert not target.exists() and not list(farm.output.glob(".tmp-*"))
    own_files.save_text(target, "of a process that holds the lock")


@pytest.mark.slow
def test_a_folder_that_is_planned_anew_gets_nothing_of_the_plan_before(farm, cut_clip, worker, helpers, tmp_path):
    farm.plan(cut_clip, "--parameter", "pause=0.3")
    late = farm.start("0-3")
    scratch = farm.output / ".fathom"
    helpers.wait_for(lambda: list(scratch.glob("shot.*/bright/*.npy")), "the first array")
    farm.plan(cut_clip, "--seed", 5)
    _, said = late.communicate()
    assert late.returncode == exit_codes.USAGE and "the work of another job than the plan's" in said
    assert not list(scratch.glob("shot.*/bright/*"))
    assert not list((scratch / "chunks").glob("*.json"))


@pytest.mark.parametrize("overwrite", rest_slow([True, False], 1))
def test_a_merge_that_was_killed_at_its_end_is_completed(farm, cut_clip, worker, whole, overwrite):
    if overwrite:
        assert worker.estimate(cut_clip, farm.output).returncode == 0
    before = farm.contents() if overwrite else {}
    farm.plan(cut_clip, *["--overwrite"] * overwrite)
    assert farm.do().returncode == 0
    scratch = farm.output / ".fathom"
    left = {name: (scratch / name).read_bytes() for name in ("plan.json", "state.json")}
    assert farm.merge().returncode == 0
    scratch.mkdir()
    for name, data in left.items():
        (scratch / name).write_bytes(data)
    if overwrite:  # while it published: some maps are in their place
        sequence = json.loads((farm.output / "depth.json").read_text())
        sequence["source"]["path"] = str(cut_clip)
        state = json.loads(left["state.json"]) | {"phase": "publishing", "sequence": sequence, "replaced": [1, 30]}
        (scratch / "state.json").write_text(json.dumps(state))
        (scratch / "new").mkdir()
        for number in range(10, 31):
            path = farm.output / f"disparity.{number:04d}.exr"
            path.rename(scratch / "new" / path.name)
            path.write_bytes(before[path.name])
    assert farm.do("0").returncode == 0, "there is nothing left to do"
    done = farm.merge()
    assert done.returncode == 0, done.stderr
    assert farm.contents() == whole()
    assert not scratch.exists()


def test_a_merge_leaves_alone_what_is_not_the_plans_work(farm, cut_clip):
    farm.plan(cut_clip)
    assert farm.do("0-3").returncode == 0
    state = farm.output / ".fathom" / "state.json"
    facts = json.loads(state.read_text())
    before = sorted((farm.output / ".fathom").rglob("*"))
    for wrong in ("{", json.dumps(facts | {"key": "another"}), json.dumps(facts | {"newer": 1})):
        state.write_text(wrong)
        for done in (farm.merge(), farm.do("4")):
            assert done.returncode == exit_codes.USAGE and "the work of another job" in done.stderr
        assert {path for path in (farm.output / ".fathom").rglob("*") if path.suffix != ".log"} >= {
            path for path in before if path.suffix != ".log"
        }


def test_more_units_than_a_phase_has_are_refused(farm, cut_clip):
    farm.plan(cut_clip)
    path = farm.output / ".fathom" / "plan.json"
    plan = json.loads(path.read_text())
    plan["chunks"][0]["last_unit"] = 10**7
    path.write_text(json.dumps(plan))
    done = farm.do("0")
    assert done.returncode == exit_codes.USAGE and "has 15 units" in done.stderr


def test_chunks_know_the_lens_that_the_clips_files_name(farm, worker, tmp_path):
    key = {"com.apple.quicktime.camera.focal_length.35mm_equivalent": "26"}
    options = {"container_options": {"movflags": "use_metadata_tags"}, "container_format": "mov"}
    clip = footage_maker.movie(tmp_path / "tagged.mov", range(4), metadata=key, **options)
    assert worker.estimate(clip, tmp_path / "one").returncode == 0
    farm.plan(clip, estimator="running_mean")
    assert farm.do().returncode == farm.merge().returncode == 0
    made = farm.contents()
    assert made == farm.contents(tmp_path / "one")
    camera = made["depth.json"]["shots"][0]["camera"]
    assert camera["focal_length"] / camera["width"] == pytest.approx(26 / 36)


def test_a_plan_that_is_made_again_keeps_its_chunks_whatever_was_measured_since(farm, cut_clip, worker, tmp_path):
    def plan(*more):
        arguments = ("--output", farm.output, "--estimator", "phased", *more, "--json")
        return json.loads(worker("plan", cut_clip, *arguments).stdout)["chunks"]

    def measure(seconds):
        wanted = measured.Measured(
            estimator="phased", settings="", frames=30, pixels=64 * 48, map_pixels=64 * 48, seconds=seconds
        )
        home = Path(worker.environment["FATHOM_HOME"])
        home.mkdir(exist_ok=True)
        (home / measured.NAME).unlink(missing_ok=True)
        measured.add(home, wanted)

    measure(3000.0)
    first = plan()
    assert len(first) > 12, "a frame takes long, so there are many chunks"
    assert farm.do("0").returncode == 0
    measure(3.0)
    assert plan() == first
    short = plan("--chunk-seconds", 600)
    assert [chunk["name"] for chunk in short] == ["finish", "finish"], "a shot that takes no longer is one chunk"


@pytest.mark.slow
def test_an_estimate_here_goes_on_from_what_a_farm_has_done(farm, cut_clip, worker, whole):
    farm.plan(cut_clip)
    assert farm.do("0-4").returncode == 0
    done = worker("estimate", cut_clip, "--output", farm.output, "--estimator", "phased")
    assert done.returncode == 0, done.stderr
    assert farm.do("5-11").returncode == farm.merge().returncode == 0, "there is nothing left to do"
    assert farm.contents() == whole()


@pytest.mark.slow
def test_several_clips_survive_kills_of_any_process(worker, cut_clip, clip, farm, whole, tmp_path):
    moments = random.Random(5)

    def stubborn(*arguments):
        """Run a command that is killed at some moment, twice, and then to its end; what it prints."""
        for _ in range(2):
            process = worker.fork(*arguments)
            time.sleep(moments.uniform(0.01, 0.5))
            process.kill()
            process.communicate()
        done = worker(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    settings = ("--estimator", "phased", "--chunk-frames", 15)
    for each in (cut_clip, clip):
        planned = stubborn("plan", each, "--output", tmp_path / each.name, *settings, "--json")
        for chunk in json.loads(planned)["chunks"]:
            stubborn("estimate", "--planned", tmp_path / each.name, "--chunks", chunk["number"])
    for each in (cut_clip, clip):
        stubborn("merge", tmp_path / each.name)
        assert sorted(path.suffix for path in (tmp_path / each.name).iterdir())[:-1] == [".exr"] * len(
            list(each.iterdir())
        )
    assert farm.contents(tmp_path / cut_clip.name) == whole()


@pytest.fixture
def killed_worker(worker):
    """Runs a command that is killed before the change of a folder with a number; its exit status and errors."""

    def run(number, folder, *arguments):
        worker.environment[killed.AT] = f"{number}:{folder}"
        done = worker(*arguments)
        del worker.environment[killed.AT]
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    return run


@pytest.mark.slow
def test_several_clips_survive_a_kill_before_each_change_on_the_disk(
    killed_worker, cut_clip, clip, farm, whole, tmp_path
):
    """Each process is killed one change later than the time before, until it comes to its end."""

    def stubborn(folder, *arguments, is_merge=False):
        kills = 0
        while killed_worker(kills, folder, *arguments):
            kills += 1
            assert kills < 500
            assert is_merge or not (folder / "depth.json").exists(), "it is written last"
        return kills

    outputs = {each: tmp_path / each.name for each in (cut_clip, clip)}
    frames = {cut_clip: FEW, clip: ("--frames", "1001-1004")}
    kills, left = 0, {}
    for each, output in outputs.items():
        settings = ("--estimator", "phased", "--chunk-frames", 2, *frames[each])
        kills += stubborn(output, "plan", each, "--output", output, *settings)
        left[output] = len(json.loads((output / ".fathom" / "plan.json").read_text())["chunks"])
    for number in range(max(left.values())):  # the clips' chunks by turns, as on a farm
        for output in (output for output, count in left.items() if number < count):
            kills += stubborn(output, "estimate", "--planned", output, "--chunks", number)
    for output in outputs.values():
        kills += stubborn(output, "merge", output, is_merge=True)
    assert kills > 50
    assert farm.contents(outputs[cut_clip]) == whole(*FEW)
    one = farm.worker("estimate", clip, "--output", tmp_path / "one", "--estimator", "phased", *frames[clip])
    assert one.returncode == 0 and farm.contents(outputs[clip]) == farm.contents(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_merge_that_is_killed_before_any_of_its_changes_is_completed(
    farm, cut_clip, worker, whole, killed_worker, overwrite
):
    if overwrite:
        assert worker.estimate(cut_clip, farm.output, *FEW).returncode == 0
    farm.plan(cut_clip, *FEW, *["--overwrite"] * overwrite)
    assert farm.do().returncode == 0
    before = farm.output.with_name("before")
    farm.output.rename(before)
    for number in range(0, 10_000, 1 if overwrite else 3):
        shutil.copytree(before, farm.output)
        code = killed_worker(number, farm.output, "merge", farm.output)
        if code:
            assert farm.merge().returncode == 0
        assert farm.contents() == whole(*FEW)
        left = {path.name for path in farm.output.rglob("*")} - {path.name for path in farm.output.glob("*.*")}
        assert {name.partition(".")[0] for name in left} <= {"lock"}, "nothing is left but a lock that nobody holds"
        shutil.rmtree(farm.output)
        if not code:
            break
    assert number > 5


@pytest.mark.parametrize("chunks", rest_slow(["99", "a", "3-1", "-1", ""], 2))
def test_chunks_that_there_are_not_are_refused(farm, cut_clip, chunks):
    farm.plan(cut_clip)
    assert farm.worker("estimate", "--planned", farm.output, f"--chunks={chunks}").returncode == exit_codes.USAGE


def test_a_folder_without_a_plan_is_refused(farm, tmp_path):
    for done in (farm.do("0"), farm.merge(), farm.worker("plan", "--check", tmp_path)):
        assert done.returncode == exit_codes.USAGE and "has no plan" in done.stderr
    assert not farm.output.exists()


def test_another_color_configuration_is_another_clip(farm, cut_clip, worker, tmp_path):
    """The depth would pass for that of the colors as they are now."""
    config = tmp_path / "config.ocio"
    text = PyOpenColorIO.Config.CreateFromFile("ocio://cg-config-latest").serialize()
    config.write_text("# 0\n" + text)
    worker.environment["OCIO"] = str(config)
    farm.plan(cut_clip)
    assert farm.do().returncode == 0
    config.write_text("# 1\n" + text)
    done = farm.merge()
    assert done.returncode == exit_codes.BAD_CLIP and "color configuration" in done.stderr
    config.unlink()
    other = tmp_path / "as-this-computer-calls-it.ocio"
    other.write_text("# 0\n" + text)
    worker.environment["OCIO"] = str(other)
    assert farm.merge().returncode == 0
