"""Where estimates go: the same job comes back to its folder, another one never touches it."""

import json
import os
import shutil
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence, plate_files
from bl_ext.dev.fathom.inference.contract.depth_sequence import DepthSequence, Shot
from bl_ext.dev.fathom.inference.contract.job import Job, Source
from bl_ext.dev.fathom.inference.contract.weights import LicenceFacts, WeightsFacts
from bl_ext.dev.fathom.scene import current_run, output
from hypothesis import given, settings
from hypothesis import strategies as st

JOB = Job(source=Source(kind="movie", path="/clips/street.mp4"), output="")


def finish(
    folder: Path, job: Job, *, of: plate_files.PlateFiles | None = None, beside: plate_files.PlateFiles | None = None
) -> None:
    """What a finished run leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "disparity.0001.exr").write_bytes(b"map")
    sequence = DepthSequence(
        source=job.source,
        first_frame=1,
        last_frame=1,
        width=64,
        height=48,
        quantity="inverse_depth",
        shots=(Shot(first_frame=1, last_frame=1, status="done"),),
        estimator=job.estimator,
        fingerprint=job.fingerprint(),
        plate_files=of,
        other_files=beside,
    )
    depth_sequence.save(sequence, folder)


def leave(folder: Path, job: Job) -> None:
    """What a run that was broken off leaves."""
    (folder / ".fathom").mkdir(parents=True)
    (folder / ".fathom" / "state.json").write_text(f'{{"key": "…", "fingerprint": "{job.fingerprint()}"}}')
    (folder / "disparity.0001.exr").write_bytes(b"map")


def test_the_first_estimate_is_version_one(tmp_path):
    place = output.place(tmp_path, "street", JOB)
    assert (place.folder, place.standing) == (tmp_path / "street" / "v001", "new")
    assert not place.folder.exists()


def test_what_is_finished_is_found_again(tmp_path):
    finish(tmp_path / "street" / "v001", JOB)
    finish(tmp_path / "street" / "v002", replace(JOB, seed=1))
    assert output.place(tmp_path, "street", JOB).folder.name == "v001"
    assert output.place(tmp_path, "street", replace(JOB, seed=1)).standing == "finished"
    assert output.place(tmp_path, "street", replace(JOB, seed=2)).folder.name == "v003"
    assert output.place(tmp_path, "street", JOB, new_version=True).folder.name == "v003"
    assert output.place(tmp_path, "another", JOB).folder.name == "v001"


def test_a_result_whose_maps_were_deleted_is_estimated_again(tmp_path):
    finish(tmp_path / "street" / "v001", JOB)
    (tmp_path / "street" / "v001" / "disparity.0001.exr").unlink()
    place = output.place(tmp_path, "street", JOB)
    assert (place.folder.name, place.standing) == ("v002", "new")


def test_what_is_unfinished_goes_on_in_its_folder(tmp_path):
    leave(tmp_path / "street" / "v001", JOB)
    assert output.place(tmp_path, "street", JOB).standing == "unfinished"
    other = output.place(tmp_path, "street", replace(JOB, size=512))
    assert (other.folder.name, other.standing) == ("v002", "new")


def test_a_clip_that_was_rendered_again_gets_a_new_version(tmp_path):
    movie = tmp_path / "street.mp4"
    movie.write_bytes(b"movie")
    job = replace(JOB, source=replace(JOB.source, path=str(movie)))
    finish(tmp_path / "street" / "v001", job)
    assert output.place(tmp_path, "street", job).standing == "finished"
    later = (tmp_path / "street" / "v001" / "depth.json").stat().st_mtime + 10
    os.utime(movie, (later, later))
    assert output.place(tmp_path, "street", job).folder.name == "v002"


@pytest.mark.parametrize("hours", [-24, 0, 24], ids=["older", "as old", "of a clock that is ahead"])
def test_another_clip_in_the_place_of_the_first_gets_a_new_version_whatever_its_time(tmp_path, hours):
    movie = tmp_path / "street.mp4"
    movie.write_bytes(b"movie")
    before = movie.stat().st_mtime
    job = replace(JOB, source=replace(JOB.source, path=str(movie)))
    then = before + 3600 * hours
    os.utime(movie, (then, then))
    finish(tmp_path / "street" / "v001", job, of=plate_files.look(job.source, None, None))
    assert output.place(tmp_path, "street", job).standing == "finished"
    os.utime(movie, (then + 1, then + 1))
    assert output.place(tmp_path, "street", job).standing == "finished", "some disks keep two seconds"
    os.utime(movie, (then - 10, then - 10))
    assert output.place(tmp_path, "street", job).folder.name == "v002"
    movie.write_bytes(b"another movie")
    os.utime(movie, (then, then))
    assert output.place(tmp_path, "street", job).folder.name == "v002"
    movie.unlink()
    assert output.place(tmp_path, "street", job).standing == "finished", "nothing says that it is another"


@pytest.mark.parametrize("what", ["mattes", "complete_from", "weights", "a map"])
def test_what_takes_the_place_of_a_file_that_was_read_gets_a_new_version_whatever_its_time(tmp_path, what):
    """Mattes of a vendor, depth from a backup and weights from elsewhere keep times that are before the result's."""
    folder = tmp_path / what
    folder.mkdir()
    names = {"mattes": "matte.0001.png", "complete_from": "depth.json", "weights": "model.json"}
    name = names.get(what, "disparity.0001.exr")
    if what == "a map":  # retouched, or refined by another program
        what = "complete_from"
        (folder / "depth.json").write_bytes(b"{}")
        os.utime(folder / "depth.json", (1e9, 1e9))
    (folder / name).write_bytes(b"first")
    (folder / ".DS_Store").write_bytes(b"1")
    then = (folder / name).stat().st_mtime
    given = {"mattes": str(folder)} if what == "mattes" else {"parameters": {what: str(folder)}}
    job = replace(JOB, **given)
    read = plate_files.look_at(plate_files.beside(job.mattes, job.parameters))
    assert read is not None
    finish(tmp_path / "street" / "v001", job, beside=read)
    (folder / ".DS_Store").write_bytes(b"12")
    assert output.place(tmp_path, "street", job).standing == "finished"
    os.utime(folder / name, (then - 3600, then - 3600))
    assert output.place(tmp_path, "street", job).folder.name == "v002"
    (folder / name).write_bytes(b"another")
    os.utime(folder / name, (then, then))
    assert output.place(tmp_path, "street", job).folder.name == "v002"


def test_a_color_configuration_that_is_edited_gets_a_new_version_one_that_is_installed_anew_does_not(tmp_path):
    config = tmp_path / "config.ocio"
    config.write_text("one")
    then = config.stat().st_mtime
    job = replace(JOB, source=replace(JOB.source, ocio_config=str(config)))
    read = plate_files.look_at([], colors=plate_files.color_config(job.source.ocio_config))
    finish(tmp_path / "street" / "v001", job, beside=read)
    os.utime(config, (then + 3600, then + 3600))
    assert output.place(tmp_path, "street", job).standing == "finished"
    config.write_text("two")
    os.utime(config, (then, then))
    assert output.place(tmp_path, "street", job).folder.name == "v002"


@pytest.mark.parametrize(("repository", "revision", "state", "name"), [
    ("a/net", "b" * 40, "ready", "v002"), ("a/net", "a" * 40, "ready", "v001"), ("a/net", "b" * 40, "missing", "v001"),
    ("b/net", "b" * 40, "ready", "v001"), ("a/net", "unknown", "ready", "v001"),
])  # fmt: skip
def test_another_revision_of_weights_gets_a_new_version(tmp_path, monkeypatch, repository, revision, state, name):
    used = depth_sequence.Weights(repository="a/net", revision="a" * 40, file="f", sha256="0", licence="l")
    finish(tmp_path / "street" / "v001", JOB)
    made = replace(depth_sequence.load(tmp_path / "street" / "v001"), weights=(used,))
    depth_sequence.save(made, tmp_path / "street" / "v001")
    there = WeightsFacts(
        name="net", label="Net", repository=repository, licence=LicenceFacts(name="l", title="L"), state=state,
        revision=revision,
    )  # fmt: skip
    monkeypatch.setattr(output.weights, "known", lambda: (there,))
    assert output.place(tmp_path, "street", JOB).folder.name == name
    monkeypatch.setattr(output.weights, "known", lambda: None)
    assert output.place(tmp_path, "street", JOB).folder.name == "v001"


def test_frames_that_are_renumbered_are_another_clip(tmp_path):
    """A clip that is played backward has the same files, of the same time."""
    names = tuple(f"plate.{n}.png" for n in (1, 2, 3))
    for name, content in zip(names, (b"one", b"fifteen", b"three")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1e9, 1e9))
    job = replace(JOB, source=Source(kind="sequence", path=str(tmp_path), files=names))
    finish(tmp_path / "street" / "v001", job, of=plate_files.look(job.source, None, None))
    assert output.place(tmp_path, "street", job).standing == "finished"
    (tmp_path / names[0]).rename(tmp_path / "away")
    (tmp_path / names[2]).rename(tmp_path / names[0])
    (tmp_path / "away").rename(tmp_path / names[2])
    assert output.place(tmp_path, "street", job).folder.name == "v002"


def test_a_sequence_looks_at_the_frames_of_the_job_alone(tmp_path):
    plates = tmp_path / "plates"
    plates.mkdir()
    names = tuple(f"plate.{n}.png" for n in (1001, 1002, 1003))
    for name in names:
        (plates / name).write_bytes(b"")
    job = replace(JOB, source=Source(kind="sequence", path=str(plates), files=names), first_frame=1001, last_frame=1002)
    finish(tmp_path / "plates" / "v001", job)
    later = (tmp_path / "plates" / "v001" / "depth.json").stat().st_mtime + 10
    os.utime(plates / names[2], (later, later))
    assert output.place(tmp_path, "plates", job).standing == "finished"
    os.utime(plates / names[1], (later, later))
    assert output.place(tmp_path, "plates", job).standing == "new"


def test_of_several_that_look_in_the_same_moment_each_takes_a_folder_of_its_own(tmp_path):
    (tmp_path / "street" / "v001").mkdir(parents=True)
    (tmp_path / "street" / "v001" / "fathom.log").write_text("of a run that failed")

    def begin(seed):
        job = replace(JOB, seed=seed)
        return output.take(lambda: (job, output.place(tmp_path, "street", job)))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(begin, range(8)))
    folders = {place.folder for _, place, _ in found}
    assert len(folders) == 8 and tmp_path / "street" / "v001" in folders
    assert not any(output.is_free(folder) for folder in folders)
    for _, _, taken in found:
        taken.release()
    assert all(output.is_free(folder) or not folder.exists() for folder in folders)
    assert [path.name for path in (tmp_path / "street").rglob("*")] == ["v001", "fathom.log"]


def test_a_folder_that_cannot_be_made_is_not_said_to_be_others_alone(tmp_path, monkeypatch):
    """As on a drive of Windows that is not there, whose error is that of a folder that somebody has just removed."""

    def is_gone(*_arguments, **_options):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(output.Path, "mkdir", is_gone)
    with pytest.raises(output.OutputError, match=r"v001 cannot be made, or .* on a disk that is there"):
        output.take(lambda: (JOB, output.place(tmp_path, "street", JOB)))


def test_a_folder_stays_taken_as_long_as_its_run_and_is_let_go_where_none_begins(tmp_path):
    wanted = lambda: (JOB, output.place(tmp_path, "street", JOB))  # noqa: E731
    _, place, taken = output.take(wanted)
    run = current_run.Run("A run", output.held(taken, iter([()])))
    del taken
    run.advance()
    assert not output.is_free(place.folder) and output.place(tmp_path, "street", JOB).folder.name == "v002"
    run.advance()
    assert run.outcome == "done" and not place.folder.exists()
    _, place, taken = output.take(wanted)
    run = current_run.Run("A run", output.held(taken, iter([()])))
    del taken
    run.close()
    assert run.outcome == "cancelled" and not place.folder.exists()
    finish(place.folder, JOB)
    assert output.take(wanted)[1:] == (replace(place, standing="finished"), None)


def test_a_link_in_the_place_of_what_holds_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "street" / "v001").mkdir(parents=True)
    (tmp_path / "street" / "v001" / "fathom.log").write_text("log")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "street" / "v001" / ".fathom").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(output.OutputError, match="is a link"):
        output.take(lambda: (JOB, output.place(tmp_path, "street", JOB)))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_that_ended_before_its_first_frame_costs_no_version(tmp_path):
    folder = tmp_path / "street" / "v001"
    (folder / ".fathom").mkdir(parents=True)
    (folder / "fathom.log").write_text("no such clip")
    (folder / ".fathom" / "lock").write_text("{}")
    assert output.place(tmp_path, "street", JOB).folder == folder
    (folder / "notes.txt").write_text("the artist's")
    assert output.place(tmp_path, "street", JOB).folder.name == "v002"


JOBS = [replace(JOB, seed=seed) for seed in range(3)]


@settings(max_examples=60, deadline=None)
@given(requests=st.lists(st.tuples(st.sampled_from(range(3)), st.booleans(), st.booleans()), max_size=8))
def test_nothing_finished_is_ever_given_to_another_job(tmp_path_factory, requests):
    root = tmp_path_factory.mktemp("depth")
    owner: dict[Path, int] = {}
    for which, new_version, finishes in requests:
        place = output.place(root, "street", JOBS[which], new_version=new_version)
        if place.standing == "new":
            assert place.folder not in owner
        else:
            assert owner[place.folder] == which and not new_version
        owner[place.folder] = which
        if place.standing == "finished":
            continue
        if finishes:
            state = place.folder / ".fathom" / "state.json"
            state.unlink(missing_ok=True)
            finish(place.folder, JOBS[which])
        elif place.standing == "new":
            leave(place.folder, JOBS[which])
    assert sorted(path.name for path in (root / "street").glob("*")) == [f"v{i + 1:03d}" for i in range(len(owner))]


@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=150))
def test_a_clips_name_always_makes_a_folder(name):
    folder = output.clip_folder(name)
    assert folder and folder == folder.strip(" .") and len(folder.encode()) <= 101
    assert not set(folder) & set('<>:"/\\|?*') and folder not in (".", "..")
    assert folder.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


@settings(max_examples=50, deadline=None)
@given(name=st.text(alphabet=string.ascii_letters + string.digits + "_-", min_size=5, max_size=60))
def test_a_plain_name_is_kept(name):
    """One that is longer than the names of Windows' devices."""
    assert output.clip_folder(name) == name


@pytest.mark.parametrize("name", ["conin$", "COM¹", "aux .take", "con", "LPT0", "com7", "Nul.mov"])
def test_the_name_of_one_of_windows_devices_is_made_another(name):
    assert output.clip_folder(name) == f"_{name}"


@pytest.mark.parametrize("name", ["街" * 90, "é" * 120, "🎬" * 60, "street." * 40])
def test_a_long_name_fits_into_the_file_system(tmp_path, name):
    output.place(tmp_path, name, JOB).folder.mkdir(parents=True)


def test_beside_the_clip_its_folder_gets_another_name(tmp_path):
    (tmp_path / "street.mp4").write_bytes(b"movie")  # a strip bears its file's whole name
    place = output.place(tmp_path, "street.mp4", JOB)
    assert place.folder == tmp_path / "street.mp4_depth" / "v001"
    finish(place.folder, JOB)
    assert output.place(tmp_path, "street.mp4", JOB).standing == "finished"


def test_a_folder_that_cannot_be_read_is_said_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "street").mkdir()

    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)  # the tests may run as root, who may read anything
    with pytest.raises(output.OutputError, match=r"cannot be read \(Permission denied\): choose a folder"):
        output.place(tmp_path, "street", JOB)


def test_a_relative_root_needs_a_saved_file(empty_file, tmp_path):
    with pytest.raises(output.OutputError, match="save the file"):
        output.root_folder("//depth")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert output.root_folder("//depth") == tmp_path / "depth"
    assert output.root_folder(str(tmp_path)) == tmp_path


def test_clips_of_one_name_are_told_apart_by_their_paths(tmp_path):
    def job(folder, name="street.mp4"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
        return Job(source=Source(kind="movie", path=str(tmp_path / folder / name)), output="")

    root, a, b, c = tmp_path / "depth", job("a"), job("b"), job("a", "street.mov")
    finish(output.place(root, "street", a).folder, a)
    assert output.place(root, "street", b).folder == root / "street_b" / "v001"
    leave(output.place(root, "street", b).folder, b)
    finish(output.place(root, "street", c).folder, c)
    known = ((a, "street", "finished"), (b, "street_b", "unfinished"), (c, "street_a", "finished"))
    for wanted, folder, standing in known:
        place = output.place(root, "street", wanted)
        assert (place.folder, place.standing) == (root / folder / "v001", standing)
    assert output.place(root, "street", replace(b, seed=1)).folder == root / "street_b" / "v002"
    (tmp_path / "other").mkdir()
    again = job("other/../a")
    assert output.place(root, "street", replace(again, seed=3)).folder == root / "street" / "v002", "by another path"
    shutil.rmtree(root / "street")
    assert output.place(root, "street", b).folder == root / "street_b" / "v001", "what is there is found first"


def test_unfinished_work_says_which_clip_it_is_of(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "street.mp4").touch()
    folder = tmp_path / "depth" / "street" / "v001"
    (folder / ".fathom").mkdir(parents=True)
    state = {"key": "…", "fingerprint": "…", "plate": str(tmp_path / "a" / "street.mp4")}
    (folder / ".fathom" / "state.json").write_text(json.dumps(state))
    job = Job(source=Source(kind="movie", path=str(tmp_path / "b" / "street.mp4")), output="")
    assert output.place(tmp_path / "depth", "street", job).folder == tmp_path / "depth" / "street_b" / "v001"


def test_a_clip_that_was_moved_or_delivered_again_goes_on_in_its_folder(tmp_path):
    files = ("shot_1001_v02.png", "shot_1002_v02.png")
    old = Job(source=Source(kind="sequence", path=str(tmp_path / "old"), files=files), output="")
    finish(tmp_path / "depth" / "shot" / "v001", old)
    new = Job(source=Source(kind="sequence", path=str(tmp_path / "new"), files=files), output="")
    assert output.place(tmp_path / "depth", "shot", new).folder == tmp_path / "depth" / "shot" / "v002"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / files[0]).touch()
    later = tuple(name.replace("v02", "v03") for name in files)
    delivered = Job(source=Source(kind="sequence", path=str(tmp_path / "old"), files=later), output="")
    assert output.place(tmp_path / "depth", "shot", delivered).folder == tmp_path / "depth" / "shot" / "v002"
    assert output.place(tmp_path / "depth", "shot", new).folder == tmp_path / "depth" / "shot_new" / "v001"
