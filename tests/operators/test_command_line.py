"""``blender --command fathom``: the function that Blender calls with the arguments."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
import wheel_maker
from bl_ext.dev.fathom.inference.contract import depth_sequence, environment, environment_setup, events, exit_codes
from bl_ext.dev.fathom.operators import command_line
from bl_ext.dev.fathom.scene import preferences, worker_command

from development.environments import ROOT
from tests.marks import rest_slow

pytestmark = pytest.mark.usefixtures("empty_file")


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)


def test_estimate(worker, clip, tmp_path, capsys):
    arguments = [clip / "plate.1001.png", "--output", tmp_path, "--estimator", "running_mean", "--frames", "1001-1004"]
    assert command_line.main(["estimate", *map(str, arguments)]) == exit_codes.OK
    folder = capsys.readouterr().out.splitlines()[-1]
    sequence = depth_sequence.load(folder)
    assert (sequence.first_frame, sequence.last_frame) == (1001, 1004) and folder.endswith("v001")


@pytest.mark.parametrize(("cuts", "first"), [("1003", [1001, 1003]), ("none", [1001])])
def test_estimate_with_cuts(worker, clip, tmp_path, cuts, first):
    arguments = [clip / "plate.1001.png", "--output", tmp_path, "--estimator", "running_mean", "--cuts", cuts]
    assert command_line.main(["estimate", *map(str, arguments)]) == exit_codes.OK
    (sidecar,) = tmp_path.rglob("depth.json")
    assert [shot.first_frame for shot in depth_sequence.load(sidecar.parent).shots] == first


def test_cuts_that_are_none(worker, clip, tmp_path, capsys):
    arguments = [clip / "plate.1001.png", "--output", tmp_path / "out", "--cuts", "1001"]
    assert command_line.main(["estimate", *map(str, arguments)]) == exit_codes.USAGE
    assert "no cut at frame 1001" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_cuts_that_are_no_frames_name_their_own_option(worker, clip, tmp_path, capsys):
    arguments = [clip / "plate.1001.png", "--output", tmp_path / "out", "--cuts", "now"]
    assert command_line.main(["estimate", *map(str, arguments)]) == exit_codes.USAGE
    said = capsys.readouterr().out
    assert "--cuts must be" in said and "--parameter" not in said


@pytest.mark.parametrize("lens", rest_slow([["18"], ["18mm"], ["12", "--sensor-width", "24"], ["32px"]], 2))
def test_estimate_with_a_known_lens(worker, clip, tmp_path, lens):
    arguments = [clip / "plate.1001.png", "--output", tmp_path, "--estimator", "running_mean", "--frames", "1001-1002"]
    assert command_line.main(["estimate", *map(str, arguments), "--focal-length", *lens]) == exit_codes.OK
    (sidecar,) = tmp_path.rglob("depth.json")
    camera = depth_sequence.load(sidecar.parent).shots[0].camera
    assert camera.focal_length / camera.width == pytest.approx(0.5)


@pytest.mark.parametrize("lens", [["18"], ["12mm", "--sensor-width", "24"], ["12px"]])
def test_build_with_a_known_lens(tmp_path, lens):
    arguments = ["build", depth_maker.make(tmp_path), "--save", tmp_path / "shot.blend", "--what", "camera"]
    assert command_line.main([*map(str, arguments), "--focal-length", *lens]) == exit_codes.OK
    data = bpy.context.scene.camera.data
    assert (data.lens, data.sensor_width) == (pytest.approx(18), 36)


@pytest.mark.parametrize(
    ("lens", "words"),
    [
        (
            ["--focal-length", "long"],
            "--focal-length must be in millimeters (35) or pixels of the plate (850px)",
        ),
        (["--focal-length", "850px", "--sensor-width", "36"], "--sensor-width is for a --focal-length in millimeters."),
        (["--sensor-width", "36"], "--sensor-width is for a --focal-length in millimeters."),
        (["--focal-length", "35", "--sensor-width", "0"], "--sensor-width must be more than 0 millimeters"),
    ],
)
def test_a_lens_that_is_none(clip, tmp_path, capsys, lens, words):
    for arguments in (
        ["estimate", clip / "plate.1001.png", "--output", tmp_path / "out"],
        ["build", depth_maker.make(tmp_path), "--save", tmp_path / "shot.blend"],
    ):
        assert command_line.main([*map(str, arguments), *lens]) == exit_codes.USAGE
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(f"Fathom: {words}")
        assert not (tmp_path / "out").exists() and not (tmp_path / "shot.blend").exists()


def test_build(tmp_path):
    shots = [(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
    folder = depth_maker.make(tmp_path, shots=shots, camera=filmed)
    file = tmp_path / "shot.blend"
    arguments = ["build", folder, "--save", file, "--what", "mesh", "fog", "--all-shots"]
    assert command_line.main([str(a) for a in arguments]) == exit_codes.OK
    bpy.ops.wm.open_mainfile(filepath=str(file))
    scene = bpy.context.scene
    kinds = sorted(o["fathom_kind"] for o in bpy.data.objects if "fathom_kind" in o)
    assert kinds == sorted(["camera", "fog", "mesh", "rig"] * 2)
    assert (scene.render.resolution_x, scene.frame_start, scene.frame_end) == (24, 1, 5)
    assert scene.fathom.depths[0].folder == "//depth"
    assert all(image.filepath.startswith("//") for image in bpy.data.images if image.get("fathom_kind"))


def test_build_into_a_file_of_the_artists(tmp_path):
    bpy.data.objects.new("Actor", None)
    bpy.context.scene.collection.objects.link(bpy.data.objects["Actor"])
    bpy.context.scene.frame_end = 77
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "artist.blend"))
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    arguments = ["build", folder, "--save", tmp_path / "built.blend", "--into", tmp_path / "artist.blend"]
    assert command_line.main([str(a) for a in arguments]) == exit_codes.OK
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "built.blend"))
    assert "Actor" in bpy.data.objects and bpy.context.scene.frame_end == 77
    assert any(o.get("fathom_kind") == "mesh" for o in bpy.data.objects)


def test_a_file_of_a_newer_blender_is_not_replaced(tmp_path, capsys):
    """This one drops what it does not know when it reads it."""
    newer = tmp_path / "artist.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(newer), compress=False)
    held = re.sub(rb"\A(BLENDER\S*?v0?\d)\d\d", rb"\g<1>99", newer.read_bytes())
    newer.write_bytes(held)
    folder = str(depth_maker.make(tmp_path / "a", camera=filmed))
    arguments = ["build", folder, "--into", str(newer), "--what", "camera", "--save"]
    assert command_line.main([*arguments, str(newer)]) != exit_codes.OK
    assert "would lose what it does not know" in capsys.readouterr().out and newer.read_bytes() == held
    assert command_line.main([*arguments, str(tmp_path / "built.blend")]) == exit_codes.OK


def test_what_is_saved_into_a_file_while_it_is_built_into_stays(tmp_path, monkeypatch, capsys):
    shot = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    folder = str(depth_maker.make(tmp_path / "a", camera=filmed))
    arguments = ["build", folder, "--into", str(shot), "--save", str(shot), "--what", "camera"]
    build_in, began = command_line._build_in, []

    def artist_saves(*given):
        began.append(shot.write_bytes(shot.read_bytes() + b"\0"))
        build_in(*given)

    with monkeypatch.context() as patch:
        patch.setattr(command_line, "_build_in", artist_saves)
        assert command_line.main(arguments) != exit_codes.OK
    assert "shot.blend was saved elsewhere while this was built: build again" in capsys.readouterr().out and began
    assert shot.read_bytes().endswith(b"\0") and {each.name for each in tmp_path.iterdir()} == {"a", "shot.blend"}


def test_two_builds_into_one_file_take_turns(tmp_path, monkeypatch, capsys):
    shot = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    folder = str(depth_maker.make(tmp_path / "a", camera=filmed))
    arguments = ["build", folder, "--into", str(shot), "--save", str(shot), "--what", "camera"]
    build_in, second = command_line._build_in, []

    def meanwhile(*given):
        if not second:
            run = [sys.executable, "-c", _SECOND, *arguments]
            second.append(subprocess.run(run, check=False, capture_output=True, text=True, cwd=ROOT))
        build_in(*given)

    monkeypatch.setattr(command_line, "_build_in", meanwhile)
    assert command_line.main(arguments) == exit_codes.OK
    assert "shot.blend cannot be built now. Another run (process " in second[0].stdout
    assert second[0].returncode == exit_codes.FAILED and shot.is_file()
    assert command_line.main(arguments) == exit_codes.OK and not list(tmp_path.glob(".fathom*"))


_SECOND = """
import sys
from development import in_blender
in_blender.enable_checkout()
from bl_ext.dev.fathom.operators import command_line
sys.exit(command_line.main(sys.argv[1:]))
"""


def test_scripts_of_a_file_that_is_built_into_do_not_run(tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    script = bpy.data.texts.new("rig.py")
    script.write(f"open({str(mark)!r}, 'w').close()")
    script.use_module = True
    bpy.context.scene.render.filepath = "//frames/"
    folder = depth_maker.make(tmp_path)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "theirs.blend"))
    paths = bpy.context.preferences.filepaths
    monkeypatch.setattr(paths, "use_scripts_auto_execute", True)
    arguments = ["build", folder, "--save", tmp_path / "built.blend", "--into", tmp_path / "theirs.blend"]
    arguments += ["--focal-length", "35"]
    assert command_line.main(list(map(str, arguments))) == exit_codes.OK
    assert not mark.exists() and bpy.data.texts["rig.py"].use_module, "the script is in the file that was written"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_is_built_into_is_not_waited_for(tmp_path, capsys):
    folder = depth_maker.make(tmp_path / "depth", camera=filmed)
    os.mkfifo(tmp_path / "theirs.blend")
    arguments = ["build", folder, "--save", tmp_path / "built.blend", "--into", tmp_path / "theirs.blend"]
    assert command_line.main(list(map(str, arguments))) == exit_codes.FAILED
    assert "theirs.blend is no file" in capsys.readouterr().out and not (tmp_path / "built.blend").exists()


def test_a_folder_that_is_named_in_the_place_of_the_file_to_save_stays(tmp_path, capsys):
    depth, there = depth_maker.make(tmp_path / "made"), tmp_path / "renders"
    (there / "shot").mkdir(parents=True)
    assert command_line.main(["build", str(depth), "--save", str(there)]) == exit_codes.FAILED
    assert f"{there} is no file: name the .blend file to write with --save." in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "renders"] and (there / "shot").is_dir()


def test_what_builds_that_were_killed_have_left_goes_a_day_later(tmp_path):
    depth = depth_maker.make(tmp_path / "made", camera=filmed)
    names = (".fathom-12.blend", ".fathom-13.blend", ".fathom-mine.blend", "theirs.blend")
    for name in names:
        (tmp_path / name).write_bytes(b"BLENDER")
        if name != names[1]:
            os.utime(tmp_path / name, (0, 0))
    assert command_line.main(["build", str(depth), "--save", str(tmp_path / "shot.blend")]) == exit_codes.OK
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {*names[1:], "shot.blend"}


def test_build_into_a_file_keeps_where_its_depth_lies(tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "artist.blend"))
    folder = depth_maker.make(tmp_path, camera=filmed)
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=100)
    bpy.ops.wm.save_mainfile()
    arguments = ["build", folder, "--save", tmp_path / "artist.blend", "--into", tmp_path / "artist.blend"]
    assert command_line.main([str(a) for a in arguments]) == exit_codes.OK
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "artist.blend"))
    assert [item.frame_offset for item in bpy.context.scene.fathom.depths] == [100]
    assert bpy.context.scene.camera.animation_data.action.frame_range[0] == 101.0


def test_the_scene_looks_through_the_shots_camera_and_fits_the_clip_on_request(tmp_path):
    own = bpy.data.objects.new("Own", bpy.data.cameras.new("Own"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "artist.blend"))
    shots = [(1, 2, "done"), (3, 5, "done")]
    folder = depth_maker.make(tmp_path / "a", shots=shots, camera=filmed)
    arguments = ["build", folder, "--save", tmp_path / "built.blend", "--into", tmp_path / "artist.blend"]

    def built(*more):
        assert command_line.main([str(a) for a in (*arguments, *more)]) == exit_codes.OK
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "built.blend"))
        return bpy.context.scene

    scene = built("--all-shots", "--fit-scene")
    assert (scene.render.resolution_x, scene.frame_start, scene.frame_end) == (24, 1, 5)
    for frame, shot in ((1, 1), (4, 3)):
        scene.frame_set(frame)
        assert scene.camera["fathom_shot"] == shot
    scene = built("--all-shots", "--keep-camera")
    assert scene.camera.name == "Own" and scene.frame_end == 250 and not scene.timeline_markers


def test_the_plate_is_told_where_it_lies_elsewhere(tmp_path, capsys):
    folder = depth_maker.make(tmp_path / "a", camera=filmed)
    (tmp_path / "a" / "plate").rename(tmp_path / "elsewhere")
    arguments = ["build", str(folder), "--save", str(tmp_path / "built.blend")]
    assert command_line.main([*arguments, "--plate", str(tmp_path / "nowhere")]) == exit_codes.BAD_CLIP
    assert "There is nothing at" in capsys.readouterr().out and not (tmp_path / "built.blend").exists()
    assert command_line.main([*arguments, "--plate", str(tmp_path / "elsewhere")]) == exit_codes.OK
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "built.blend"))
    assert bpy.context.scene.fathom.depths[0].plate == "//elsewhere/plate.0001.png"
    (plate,) = [i for i in bpy.data.images if i.get("fathom_kind") == "plate"]
    assert plate.filepath == "//elsewhere/plate.0001.png"


def test_a_file_is_not_written_over_where_there_is_no_depth(tmp_path):
    target = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(target))
    before = target.read_bytes()
    assert command_line.main(["build", str(tmp_path), "--save", str(target)]) == exit_codes.FAILED
    assert target.read_bytes() == before


def test_a_file_that_cannot_be_opened_or_saved_is_said_in_a_sentence(tmp_path, capsys):
    folder = str(depth_maker.make(tmp_path, camera=filmed))
    lost = str(tmp_path / "lost" / "shot.blend")
    assert command_line.main(["build", folder, "--save", lost]) == exit_codes.FAILED
    assert f"Fathom: {lost} cannot be saved: " in capsys.readouterr().out
    arguments = ["build", folder, "--into", lost, "--save", str(tmp_path / "shot.blend")]
    assert command_line.main(arguments) == exit_codes.FAILED
    assert f"Fathom: {lost} cannot be opened: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], exit_codes.USAGE),
        (["sing"], exit_codes.USAGE),
        (["--help"], exit_codes.OK),
        (["estimate", "/nowhere/plate.1.png", "--output", "{tmp}"], exit_codes.BAD_CLIP),
        (["estimate", "{clip}", "--output", "{tmp}", "--frames", "5-1"], exit_codes.USAGE),
        (["estimate", "{clip}", "--output", "{tmp}", "--estimator", "unheard_of"], exit_codes.USAGE),
        (["submit", "{clip}", "--output", "{tmp}", "--chunk-minutes", "nan"], exit_codes.USAGE),
        (["build", "{tmp}", "--save", "{tmp}/shot.blend"], exit_codes.FAILED),
    ],
)
def test_exit_codes(worker, clip, tmp_path, capsys, arguments, code):
    places = {"tmp": tmp_path, "clip": clip / "plate.1001.png"}
    assert command_line.main([a.format(**places) for a in arguments]) == code
    said = capsys.readouterr()
    assert (said.out + said.err).strip()


def test_without_an_environment(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    code = command_line.main(["estimate", str(clip / "plate.1001.png"), "--output", str(tmp_path)])
    assert code == exit_codes.MISSING and "press Install Dependencies" in capsys.readouterr().out


def test_a_build_that_fails_leaves_the_file_as_it_was(tmp_path, capsys):
    folder = depth_maker.make(tmp_path / "a", camera=None)
    file = tmp_path / "shot.blend"
    bpy.context.scene["mine"] = "precious"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    before = file.read_bytes()
    for _ in range(2):
        assert command_line.main(["build", str(folder), "--save", str(file)]) == exit_codes.FAILED
    assert "give a focal length" in capsys.readouterr().out
    assert file.read_bytes() == before and sorted(path.name for path in tmp_path.iterdir()) == ["a", "shot.blend"]
    assert command_line.main(["build", str(folder), "--save", str(tmp_path / "new.blend")]) == exit_codes.FAILED
    assert not (tmp_path / "new.blend").exists()
    arguments = ["build", str(folder), "--save", str(file), "--focal-length", "35"]
    assert command_line.main(arguments) == exit_codes.OK
    assert file.read_bytes() != before
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "shot.blend", "shot.blend1"}


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path, capsys):
    folder = depth_maker.make(tmp_path, camera=filmed)
    target = tmp_path / "none" / "shot.blend"
    assert command_line.main(["build", str(folder), "--save", str(target)]) == exit_codes.FAILED
    assert f"{target} cannot be saved" in capsys.readouterr().out


def test_a_file_of_somebody_elses_ends_in_a_sentence(tmp_path, capsys):
    folder = depth_maker.make(tmp_path, camera=filmed)
    theirs, out = str(tmp_path / "theirs.blend"), str(tmp_path / "out.blend")
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.ops.fathom.build_depth_mesh()
    kind = next(g["fathom_kind"] for g in bpy.data.node_groups if g.get("fathom_kind", "").startswith("mesh/"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    group = bpy.data.node_groups.new("Theirs", "GeometryNodeTree")
    group["fathom_kind"], group.use_fake_user = kind, True
    bpy.ops.wm.save_as_mainfile(filepath=theirs)
    arguments = ["build", str(folder), "--into", theirs, "--save", out]
    assert command_line.main(arguments) == exit_codes.FAILED
    assert "Theirs is not as Fathom makes it" in capsys.readouterr().out
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.fathom.load_depth(directory=str(folder))
    bpy.context.scene.fathom.depths[0].frame_offset = 2**31 - 1
    bpy.ops.wm.save_as_mainfile(filepath=theirs)
    assert command_line.main(arguments) == exit_codes.FAILED
    assert "leads beyond Blender's timeline" in capsys.readouterr().out and not (tmp_path / "out.blend").exists()


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path, capsys):
    name = "/none/\x1b]0;owned\x07\x9b2J"
    assert command_line.main(["estimate", f"{name}.mov", "--output", str(tmp_path)]) == exit_codes.BAD_CLIP
    assert command_line.main(["build", name, "--save", str(tmp_path / "a.blend")]) == exit_codes.FAILED
    tell = command_line.printing()
    tell(events.Stage(name="a", label=f"{name}\ud800"))
    tell(events.Warning(message=f"{name}\ud800"))
    printed = capsys.readouterr().out
    assert printed.count("owned") == 4 and not {"\x1b", "\x07", "\x9b", "\ud800"} & set(printed)


@pytest.fixture
def passed_on(monkeypatch, inference_python):
    """The commands of the worker's that would be run."""
    commands = []

    def run(command, **options):
        commands.append((command[4:], options["env"]["FATHOM_HOME"]))
        return SimpleNamespace(returncode=6)

    monkeypatch.setattr(worker_command.subprocess, "run", run)
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
    monkeypatch.setenv("FATHOM_HOME", "/data")
    return commands


def test_verbs_of_the_workers_are_handed_on_as_they_are(passed_on, monkeypatch, capfd):
    for arguments in (["doctor"], ["models", "list", "--json"], ["estimators", "--help"], ["models", "remove", "x"]):
        assert command_line.main(arguments) == 6
        assert passed_on.pop() == (arguments, "/data")
    assert command_line.main(["models", "download", "x"]) == 6
    assert passed_on.pop()[0] == ["models", "download", "x", "--offline"] and "online access" in capfd.readouterr().err
    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    command_line.main(["models", "download", "x"])
    assert passed_on.pop()[0] == ["models", "download", "x"]


def test_without_an_environment_weights_can_be_listed_and_nothing_else(passed_on, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("FATHOM_PYTHON")
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    for arguments in (["doctor"], ["models", "download", "x"]):
        assert command_line.main(arguments) == exit_codes.MISSING
        assert "press Install Dependencies" in capsys.readouterr().out and passed_on == []
    assert command_line.main(["models", "list"]) == 6 and passed_on


def test_the_weights_are_really_listed(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    assert command_line.main(["models", "list"]) == exit_codes.OK
    assert "depthcrafter - DepthCrafter's UNet" in capfd.readouterr().out


@pytest.mark.slow
def test_packages_are_installed(tmp_path, monkeypatch, capsys):
    lock = wheel_maker.lock(tmp_path / "lock.txt", wheel_maker.make(tmp_path / "shelf", "plumbline"))
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(environment, "LIGHT", (lock,))
    assert command_line.main(["install"]) == exit_codes.FAILED
    assert "online access is off" in capsys.readouterr().out
    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    monkeypatch.setattr(environment_setup, "_SIZES", {"light": (0.0, 0.01), "full": (0.0, 0.02)})
    assert command_line.main(["install", "light"]) == exit_codes.OK
    assert capsys.readouterr().out.splitlines()[-1] == str(preferences.worker_python())
    assert command_line.main(["install"]) == exit_codes.OK
    assert preferences.INSTALLED in capsys.readouterr().out


def test_an_output_that_is_full_is_no_traceback(tmp_path, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = write

    arguments = ["build", str(depth_maker.make(tmp_path)), "--save", str(tmp_path / "shot.blend"), "--what", "camera"]
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", Full())
        assert command_line.main(arguments) == exit_codes.FAILED
    assert not list(tmp_path.glob(".fathom-*"))


def test_a_parameter_that_is_nested_without_end_is_a_text(worker, clip, tmp_path, capsys):
    arguments = [clip / "plate.1001.png", "--output", tmp_path / "out", "--parameter", "pause=" + "[" * 50_000]
    assert command_line.main(["estimate", *map(str, arguments), "--estimator", "running_mean"]) == exit_codes.USAGE
    assert "pause" in capsys.readouterr().out
