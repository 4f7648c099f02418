"""Depth sequences refined: what is written, what stays, and runs that end early."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.commands.main import main
from inference.common.failures import Cancelled, ClipError, Failure
from inference.contract import depth_sequence, events, exit_codes, plate_files
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, Range, Shot, confidence_name, disparity_name
from inference.contract.job import Source
from inference.contract.refinement import Refinement
from inference.media.exr import read_map, write_map
from inference.run import refine as refining
from inference.run import stop
from inference.run.refine import refine

MAP, PLATE, FRAMES = (32, 24), (64, 48), range(1001, 1007)
FAR, NEAR = 0.25, 1.0


def is_near(number, size):
    """A disc that moves right."""
    x, y = np.meshgrid((np.arange(size[0]) + 0.5) / size[0], (np.arange(size[1]) + 0.5) / size[1])
    return (x - 0.45 - 0.01 * (number - FRAMES[0])) ** 2 + 0.5625 * (y - 0.5) ** 2 < 0.04


def true_map(number, size):
    return np.where(is_near(number, size), np.float32(NEAR), np.float32(FAR))


def make(folder, *, shots=((1001, 1006, "done"),), quantity="inverse_depth", confidence=True):
    """Depth whose edges are averaged, with its plate."""
    depth, plate = folder / "depth", folder / "plate"
    depth.mkdir(parents=True)
    plate.mkdir()
    rough = np.random.default_rng(0).integers(-20, 20, (PLATE[1], PLATE[0], 3))
    for number in FRAMES:
        colors = np.where(is_near(number, PLATE)[..., None], (190, 90, 60), (60, 90, 150)) + rough
        cv2.imwrite(str(plate / f"street.{number}.png"), colors.astype(np.uint8))
        values = cv2.resize(true_map(number, PLATE), MAP, interpolation=cv2.INTER_AREA)
        write_map(depth / disparity_name(number), values)
        if confidence:
            write_map(depth / confidence_name(number), np.where(is_near(number, MAP), 0.9, 0.2))
    middle = ((PLATE[0] - 1) / 2, (PLATE[1] - 1) / 2)
    still = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))

    def shot(first, last, status):
        if status != "done":
            return Shot(first_frame=first, last_frame=last, status=status, reason="It shows nothing.")
        poses = tuple(Pose(frame=n, camera_to_world=still) for n in range(first, last + 1))
        camera = Camera(width=PLATE[0], height=PLATE[1], focal_length=60.0, principal_point=middle, poses=poses)
        spread = Range(minimum=0.2, maximum=1.0, p1=FAR, p99=NEAR)
        return Shot(
            first_frame=first, last_frame=last, status="done", range=spread, camera=camera, estimators=("made",)
        )

    sequence = DepthSequence(
        source=Source(
            kind="sequence",
            path=str(plate),
            files=tuple(f"street.{n}.png" for n in FRAMES),
            width=PLATE[0],
            height=PLATE[1],
        ),
        first_frame=FRAMES[0],
        last_frame=FRAMES[-1],
        width=MAP[0],
        height=MAP[1],
        quantity=quantity,
        shots=tuple(shot(*each) for each in shots),
        estimator="made",
        fingerprint="made",
        parameters={"how": "by hand"},
        confidence="made up" if confidence else None,
    )
    depth_sequence.save(sequence, depth)
    return depth


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    return make(tmp_path_factory.mktemp("street"))


def run(depth, output, *, cancelled=lambda: False, overwrite=False, **settings):
    heard = []
    wanted = Refinement(depth=str(depth), output=str(output), **settings)
    return refine(wanted, emit=heard.append, cancelled=cancelled, overwrite=overwrite), heard


@pytest.fixture(scope="module")
def refined(depth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined") / "depth"
    return folder, *run(depth, folder)


def maps(folder, numbers=FRAMES):
    return {n: (folder / disparity_name(n)).read_bytes() for n in numbers}


def test_edges_are_sharp_and_where_the_plate_has_them(depth, refined):
    folder, _, heard = refined
    for number in (FRAMES[0], FRAMES[2]):
        found = read_map(folder / disparity_name(number), size=PLATE)
        assert (np.abs(found - true_map(number, PLATE)) > 0.1).mean() < 0.005
        plain = cv2.resize(read_map(depth / disparity_name(number)), PLATE, interpolation=cv2.INTER_LINEAR)
        assert (np.abs(plain - true_map(number, PLATE)) > 0.1).mean() > 0.03
    assert [event.number for event in heard if isinstance(event, events.Frame)] == list(FRAMES)
    progress = [event for event in heard if isinstance(event, events.Progress)]
    assert progress[-1].done == progress[-1].total and progress[-1].frames == len(FRAMES)


def test_what_is_known_of_the_depth_stays(depth, refined):
    before, after = depth_sequence.load(depth), depth_sequence.load(refined[0])
    assert after == refined[1]
    assert (after.width, after.height, after.full_size) == (*PLATE, True)
    for name in ("quantity", "estimator", "parameters", "confidence", "first_frame", "last_frame", "size"):
        assert getattr(after, name) == getattr(before, name)
    (old,), (new,) = before.shots, after.shots
    assert new == replace(old, range=new.range)
    assert (new.range.p1, new.range.p99) == (old.range.p1, old.range.p99), "distances stay where they are"
    assert after.fingerprint != before.fingerprint
    assert after.refinement["refines"] == before.fingerprint and after.refinement["fringe"] == 3
    confidence = read_map(refined[0] / confidence_name(FRAMES[0]), size=PLATE)
    assert confidence.min() >= 0 and confidence.max() <= 1
    assert confidence[is_near(FRAMES[0], PLATE)].mean() > 0.8


def test_shots_are_refined_each_and_unsupported_ones_stay(tmp_path):
    shots = ((1001, 1002, "done"), (1003, 1004, "refused"), (1005, 1006, "done"))
    depth = make(tmp_path, shots=shots, confidence=False)
    found, _ = run(depth, tmp_path / "refined")
    assert [shot.status for shot in found.shots] == ["done", "refused", "done"]
    there = {path.name for path in (tmp_path / "refined").iterdir()}
    assert there == {"depth.json", *(disparity_name(n) for n in (1001, 1002, 1005, 1006))}


def test_near_sides_grow_by_pixels_of_the_plate(depth, refined, tmp_path):
    run(depth, tmp_path / "more", edge=2.0, smooth=0)
    run(depth, tmp_path / "small", edge=2.0, smooth=0, size=64)
    run(depth, tmp_path / "less", edge=-2.0, smooth=0)
    areas = {
        name: (read_map(folder / disparity_name(1001)) > 0.6).mean()
        for name, folder in (("as", refined[0]), *((each, tmp_path / each) for each in ("more", "small", "less")))
    }
    assert areas["less"] < areas["as"] < areas["more"]
    assert areas["small"] == pytest.approx(areas["more"], rel=0.02)


def test_a_size_of_ones_own_keeps_the_plates_aspect(depth, tmp_path):
    found, _ = run(depth, tmp_path / "out", size=128, smooth=0)
    assert (found.width, found.height, found.full_size) == (128, 96, False)
    assert read_map(tmp_path / "out" / disparity_name(1001)).shape == (96, 128)


@pytest.mark.parametrize(
    ("quantity", "beyond"), [("inverse_depth", 0.0), ("relative_disparity", FAR - 10 * (NEAR - FAR))]
)
def test_mattes_of_the_sky_put_it_beyond_the_limit(tmp_path, quantity, beyond):
    depth = make(tmp_path, quantity=quantity)
    mattes = tmp_path / "mattes"
    mattes.mkdir()
    for number in FRAMES:
        image = np.zeros((PLATE[1], PLATE[0]), np.uint8)
        image[:10] = 255
        cv2.imwrite(str(mattes / f"sky.{number}.png"), image)
    found, _ = run(depth, tmp_path / "out", sky=True, sky_mattes=str(mattes), smooth=0)
    values = read_map(tmp_path / "out" / disparity_name(1003))
    np.testing.assert_allclose(values[:10], beyond, rtol=1e-6)
    assert values[10:].min() > 0.2
    assert found.shots[0].range.p1 == FAR
    with pytest.raises(ClipError, match="no folder of mattes"):
        run(depth, tmp_path / "other", sky=True, sky_mattes=str(tmp_path / "none"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_cancelled_run_goes_on_to_the_same_bits(depth, refined, tmp_path, after):
    folder = tmp_path / "out"
    written = []

    def cancelled():
        return len(list(folder.glob("disparity.*"))) >= after

    with pytest.raises(Cancelled):
        run(depth, folder, cancelled=cancelled)
    assert folder.exists() == (after > 0), "a run that wrote nothing leaves nothing"
    assert not (folder / "depth.json").exists()
    written = {path.name for path in folder.glob("disparity.*")} if after else set()
    if written:
        (folder / sorted(written)[-1]).write_bytes(b"cut short")
    run(depth, folder)
    assert maps(folder) == maps(refined[0])
    assert not (folder / depth_sequence.SCRATCH).exists()


def test_other_settings_begin_again(depth, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(Cancelled):
        run(depth, folder, cancelled=lambda: len(list(folder.glob("disparity.*"))) >= 2)
    found, heard = run(depth, folder, smooth=0)
    assert any("different job" in event.message for event in heard if isinstance(event, events.Warning))
    assert found.refinement["smooth"] == 0


def make_sky(folder, rows):
    folder.mkdir(exist_ok=True)
    for number in FRAMES:
        image = np.zeros((PLATE[1], PLATE[0]), np.uint8)
        image[:rows] = 255
        cv2.imwrite(str(folder / f"sky.{number}.png"), image)


def painted_anew(tmp_path, depth):
    make_sky(tmp_path / "sky", 30)


def map_replaced(tmp_path, depth):
    write_map(depth / disparity_name(1001), np.full(MAP[::-1], NEAR, np.float32))


@pytest.mark.parametrize("change", [painted_anew, map_replaced])
def test_a_run_does_not_go_on_with_what_was_made_of_other_mattes_or_maps(tmp_path, change):
    depth, folder, sky = make(tmp_path), tmp_path / "out", tmp_path / "sky"
    make_sky(sky, 4)
    settings = {"sky": True, "sky_mattes": str(sky), "smooth": 0}
    with pytest.raises(Cancelled):
        run(depth, folder, cancelled=lambda: len(list(folder.glob("disparity.*"))) >= 3, **settings)
    change(tmp_path, depth)
    _, heard = run(depth, folder, **settings)
    assert any("different job" in event.message for event in heard if isinstance(event, events.Warning))
    run(depth, tmp_path / "fresh", **settings)
    assert maps(folder) == maps(tmp_path / "fresh")


@pytest.mark.parametrize("change", [painted_anew, map_replaced])
def test_a_finished_result_of_other_mattes_or_maps_is_not_praised(tmp_path, change):
    depth, settings = make(tmp_path), {"sky": True, "sky_mattes": str(tmp_path / "sky"), "smooth": 0}
    make_sky(tmp_path / "sky", 4)
    run(depth, tmp_path / "out", **settings)
    with pytest.raises(Failure, match="the finished result of the same job"):
        run(depth, tmp_path / "out", **settings)
    change(tmp_path, depth)
    with pytest.raises(Failure, match="for other files: they have changed since"):
        run(depth, tmp_path / "out", **settings)


@pytest.mark.parametrize("change", [painted_anew, map_replaced])
def test_what_changes_while_it_is_read_ends_the_run(tmp_path, change):
    depth, folder = make(tmp_path), tmp_path / "out"
    make_sky(tmp_path / "sky", 4)
    changed = []

    def check():
        if len(list(folder.glob("disparity.*"))) >= 3 and not changed:
            changed.append(change(tmp_path, depth))
        return False

    with pytest.raises(Failure, match="changed while it was worked on"):
        run(depth, folder, cancelled=check, sky=True, sky_mattes=str(tmp_path / "sky"), smooth=0)
    assert changed and not folder.exists()


def test_depth_that_is_replaced_as_the_run_begins_is_not_mixed_with_the_new(tmp_path, monkeypatch):
    depth = make(tmp_path)
    opening = refining.open_clip

    def replaced(*given):
        made = depth_sequence.load(depth)
        spread = Range(minimum=2.0, maximum=10.0, p1=2.5, p99=10.0)
        depth_sequence.save(replace(made, shots=(replace(made.shots[0], range=spread),)), depth)
        return opening(*given)

    monkeypatch.setattr(refining, "open_clip", replaced)
    with pytest.raises(Failure, match="was replaced just now"):
        run(depth, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plate_that_is_another_than_the_depth_is_of_is_said(tmp_path):
    depth = make(tmp_path)
    made = depth_sequence.load(depth)
    of = plate_files.look(made.source, *FRAMES[:: len(FRAMES) - 1])
    depth_sequence.save(replace(made, plate_files=of), depth)

    def warned(name, **settings):
        _, heard = run(depth, tmp_path / name, smooth=0, **settings)
        return any(
            "not the file that the depth was estimated from" in e.message for e in heard if hasattr(e, "message")
        )

    assert not warned("as it was")
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "plate", copied, copy_function=shutil.copyfile)
    assert not warned("a copy", plate=replace(made.source, path=str(copied)))
    names = sorted((tmp_path / "plate").iterdir())
    for path, other in zip(names, reversed([path.read_bytes() for path in names])):
        facts = path.stat()
        path.write_bytes(other)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert warned("in another order")


def test_a_refined_depth_is_of_the_plate_in_the_frames_that_have_depth(tmp_path):
    depth = make(tmp_path, shots=((1001, 1002, "refused"), (1003, 1006, "done")), confidence=False)
    run(depth, tmp_path / "once", smooth=0)
    _, heard = run(tmp_path / "once", tmp_path / "twice", smooth=0)
    assert not [event for event in heard if isinstance(event, events.Warning)]


def test_a_size_that_takes_more_memory_than_is_free_is_declined(depth, tmp_path, monkeypatch):
    monkeypatch.setattr(refining, "free_bytes", lambda: 8_000_000_000)
    with pytest.raises(
        Failure, match=r"Refining at 16384x12288 .* takes 12\.9 GB of memory, and 8\.0 GB are free"
    ) as much:
        run(depth, tmp_path / "out", size=16384)
    assert much.value.event().code == exit_codes.USAGE and not (tmp_path / "out").exists()


def test_a_finished_result_and_the_depth_itself_are_not_written_over(depth, refined, tmp_path):
    with pytest.raises(Failure, match="the finished result of the same job") as same:
        run(depth, refined[0])
    assert same.value.event().code == exit_codes.BAD_OUTPUT
    with pytest.raises(Failure, match="is the folder of the depth itself"):
        run(depth, depth)
    with pytest.raises(Failure, match="is the folder of the depth itself"):
        run(depth, depth, overwrite=True)


def test_missing_and_damaged_files_are_named(tmp_path):
    depth = make(tmp_path)
    (depth / disparity_name(1003)).write_bytes(b"no map")
    with pytest.raises(ClipError, match=r"1003"):
        run(depth, tmp_path / "out")
    (depth / disparity_name(1003)).unlink()
    with pytest.raises(ClipError, match=r"disparity.1003.exr is missing"):
        run(depth, tmp_path / "out2")
    for path in (tmp_path / "plate").iterdir():
        path.unlink()
    with pytest.raises(ClipError):
        run(depth, tmp_path / "out3")


def test_a_plate_of_another_aspect_is_declined_and_nothing_is_left(tmp_path):
    depth = make(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    names = tuple(f"wide.{n}.png" for n in FRAMES)
    for name in names:
        cv2.imwrite(str(other / name), np.zeros((20, 80, 3), np.uint8))
    plate = Source(kind="sequence", path=str(other), files=names, width=80, height=20)
    with pytest.raises(Failure, match="another aspect") as declined:
        run(depth, tmp_path / "out", plate=plate)
    assert declined.value.event().code == exit_codes.USAGE and not (tmp_path / "out").exists()


def test_what_is_at_the_far_end_stays_there(tmp_path):
    depth = make(tmp_path)
    for number in FRAMES:
        values = read_map(depth / disparity_name(number)).copy()
        values[:6] = 0
        write_map(depth / disparity_name(number), values)
    run(depth, tmp_path / "out")
    found = read_map(tmp_path / "out" / disparity_name(1003))
    assert (found[:8] == 0).all() and (found[20:] > 0.2).all()


def test_the_plate_may_lie_elsewhere(tmp_path):
    depth = make(tmp_path)
    (tmp_path / "plate").rename(tmp_path / "moved")
    source = depth_sequence.load(depth).source
    found, _ = run(depth, tmp_path / "out", plate=replace(source, path=str(tmp_path / "moved")), smooth=0)
    assert Path(found.source.path) == tmp_path / "moved"
    assert (found.source.width, found.source.height) == PLATE


def test_the_command_refines(depth, tmp_path, capfd, monkeypatch):
    """With events, into the folder of its own choice, as Blender asks for it, and told what is wrong."""
    monkeypatch.setattr(stop, "listen_to_signals", lambda asked: None)  # this process's are pytest's
    copy = tmp_path / "v001"
    shutil.copytree(depth, copy)
    depth_sequence.save(depth_sequence.load(depth), copy)
    assert main(["refine", str(copy), "--smooth", "0", "--events"]) == exit_codes.OK
    heard = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert heard[-1]["event"] == "done" and heard[-1]["frames"] == len(FRAMES)
    assert Path(heard[-1]["folder"]) == tmp_path / "v001_refined"
    assert depth_sequence.load(tmp_path / "v001_refined").refinement["smooth"] == 0
    for arguments, sentence in (([], "needs a DEPTH"), ([str(copy), "--fringe", "9"], "--fringe must be from 0 to 8")):
        assert main(["refine", *arguments]) == exit_codes.USAGE
        assert sentence in capfd.readouterr().err


@pytest.mark.slow
def test_the_process_refines(depth, tmp_path):
    command = [sys.executable, "-m", "inference", "refine", str(depth), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "6 refined maps are in" in done.stdout + done.stderr
