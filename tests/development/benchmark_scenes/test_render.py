"""The truth of rendered clips, against planes and spheres whose depth, place and motion are known by formula."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import OpenEXR
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

from development.benchmark_scenes import clips, images, materials, overview, render, rigs, shapes
from inference.evaluation.datasets.flow_file import read_flow

pytestmark = pytest.mark.skipif(
    bpy.app.version[:2] != (5, 0), reason="the benchmark is rendered with one Blender, which is 5.0"
)

WIDTH, HEIGHT, FRAMES = 96, 54, 3
RADIUS, STANDS = 0.8, Vector((-1.1, 6.0, 0.8))


def rolls(t):
    """Where the ball is, and how far it has turned about y."""
    return Vector((1.6 - 1.2 * t, 5.0, 0.6)), -1.2 * t / 0.6


def path(t):
    return Vector((-0.4 + 0.8 * t, -1.0, 1.6 + 0.1 * t)), Vector((0.2 * t, 6.0, 0.7))


def spheres(*, frames):
    """A floor at height 0, a sphere that stands still and one that rolls, before a moving camera."""
    scene = rigs.begin(frames)
    paint = materials.plain("Paint", (0.6, 0.3, 0.2))
    dots = materials.mottled("Dots", (0.1, 0.1, 0.1), (0.9, 0.9, 0.9), scale=4.0)
    shapes.box("Floor", dots, center=(0.0, 6.0, -0.5), size=(20.0, 20.0, 1.0))
    shapes.ball("Standing", paint, center=STANDS, radius=RADIUS, subdivisions=7)
    ball = shapes.ball("Rolling", dots, center=(0.0, 0.0, 0.0), radius=0.6, subdivisions=7)
    rigs.animate(ball, frames, lambda t: Matrix.Translation(rolls(t)[0]) @ Matrix.Rotation(rolls(t)[1], 4, "Y"))
    scene.world = bpy.data.worlds.new("World")
    rigs.camera(scene, frames, path, lens=28.0)
    return scene


def far(*, frames):
    """A wall beyond what 16 bits of millimeters hold."""
    scene = rigs.begin(frames)
    shapes.box("Wall", materials.plain("Paint", (0.5, 0.5, 0.5)), center=(0.0, 80.0, 0.0), size=(90.0, 1.0, 90.0))
    rigs.camera(scene, frames, lambda t: (Vector((0.0, 0.0, 0.0)), Vector((0.0, 1.0, 0.0))), lens=28.0)
    return scene


def wider(*, frames):
    """The same by another lens."""
    scene = spheres(frames=frames)
    scene.camera.data.lens = 20.0
    return scene


def clip(*shots, width=WIDTH, height=HEIGHT):
    return clips.Clip(name="spheres", about="a test", shots=shots, width=width, height=height, samples=2)


def quietly(_line):
    """Leave the progress unsaid."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of two shots: all of the scene's time, and its first half once more."""
    shots = (
        clips.Shot(build=spheres, frames=FRAMES),
        clips.Shot(build=spheres, frames=2, span=(0.0, 0.5)),
    )
    yield render.rendered(clip(*shots), tmp_path_factory.mktemp("benchmark"), quietly, threads=1)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture(scope="module")
def camera(folder):
    return json.loads((folder / "camera.json").read_text())


def pose(camera, frame):
    return np.array(camera["frames"][frame - 1]["c2w_opencv"])


def depth(folder, frame):
    with OpenEXR.File(str(folder / "depth_exact" / f"{frame:05d}.exr"), separate_channels=True) as file:
        return np.array(file.channels()["Z"].pixels)


def moving(folder, frame):
    return images.read_png(folder / "dynamic" / f"{frame:05d}.png")[..., 0] > 127


def rays(camera):
    """Each pixel center's ray in the camera's axes, of planar length 1."""
    x, y = np.meshgrid(np.arange(camera["width"]), np.arange(camera["height"]))
    return np.stack(((x - camera["cx"]) / camera["fx"], (y - camera["cy"]) / camera["fy"], np.ones_like(x)), axis=-1)


def surfaces(camera, frame, t):
    """Planar depth by formula of the floor, the standing and the rolling sphere [3, H, W], inf where a ray misses."""
    matrix = pose(camera, frame)
    eye, heading = matrix[:3, 3], rays(camera) @ matrix[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = -eye[2] / heading[..., 2]
        place = eye + floor[..., None] * heading
        on_floor = (floor > 0) & (abs(place[..., 0]) < 10.0) & (abs(place[..., 1] - 6.0) < 10.0)
        found = [np.where(on_floor, floor, np.inf)]
        for center, radius in ((STANDS, RADIUS), (rolls(t)[0], 0.6)):
            away = eye - np.array(center)
            a, b, c = (heading**2).sum(-1), heading @ away, away @ away - radius**2
            found.append(np.where(b * b > a * c, (-b - np.sqrt(b * b - a * c)) / a, np.inf))
    return np.stack(found)


def inner(mask):
    """A mask without the pixels at its rim."""
    padded = np.pad(mask, 1)
    return np.logical_and.reduce([np.roll(padded, s, a) for a in (0, 1) for s in (-1, 0, 1)])[1:-1, 1:-1]


@pytest.mark.parametrize(("frame", "t"), [(1, 0.0), (2, 0.5), (3, 1.0), (4, 0.0), (5, 0.5)])
def test_depth_and_mask_are_what_the_ray_through_the_pixels_center_meets(folder, camera, frame, t):
    by_formula = surfaces(camera, frame, t)
    true, shown = by_formula.min(axis=0), by_formula.argmin(axis=0)
    measured = depth(folder, frame)
    for kind, tolerance in ((0, 1e-4), (1, 1e-3), (2, 1e-3)):
        here = inner((shown == kind) & np.isfinite(true))
        assert here.sum() > 40
        assert np.abs(measured[here] / true[here] - 1.0).max() < tolerance
    sky = inner(np.isinf(true))
    assert sky.sum() > 100 and np.isinf(measured[sky]).all()
    is_ball = np.isfinite(true) & (shown == 2)
    assert np.array_equal(moving(folder, frame)[inner(is_ball)], np.ones(inner(is_ball).sum(), bool))
    assert not moving(folder, frame)[inner(~is_ball)].any()
    assert abs(int(moving(folder, frame).sum()) - int(is_ball.sum())) <= 4  # the rim, where rounding decides


def test_whole_millimeters_are_the_depth_rounded_and_the_sky_is_zero(folder):
    exact = depth(folder, 1)
    rounded = images.read_gray16(folder / "depth" / "00001.png")
    assert np.array_equal(rounded == 0, np.isinf(exact))
    near = rounded > 0
    assert np.abs(rounded[near] / 1000.0 - exact[near]).max() <= 0.0005 + 1e-6


@pytest.mark.parametrize(("frame", "t", "later"), [(1, 0.0, 0.5), (2, 0.5, 1.0), (4, 0.0, 0.5)])
def test_flow_takes_a_pixel_to_where_its_surface_point_is_in_the_next_frame(folder, camera, frame, t, later):
    flow, z = read_flow(folder / "flow" / f"{frame:05d}.exr"), depth(folder, frame)
    points = rays(camera) * np.where(np.isinf(z), 1e6, z)[..., None] @ pose(camera, frame)[:3, :3].T
    points += pose(camera, frame)[:3, 3]
    on_ball = moving(folder, frame)
    (before, turned), (after, turns) = rolls(t), rolls(later)
    roll = np.array(Matrix.Rotation(turns - turned, 3, "Y"))
    points[on_ball] = (points[on_ball] - np.array(before)) @ roll.T + np.array(after)
    matrix = pose(camera, frame + 1)
    seen = (points - matrix[:3, 3]) @ matrix[:3, :3]
    x = camera["fx"] * seen[..., 0] / seen[..., 2] + camera["cx"]
    y = camera["fy"] * seen[..., 1] / seen[..., 2] + camera["cy"]
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    assert np.abs(np.stack((x - column, y - row), axis=-1) - flow).max() < 0.02

    # What is seen there in the next frame is that point or something nearer, which hides it: the depth says so.
    target = np.stack((column + flow[..., 0], row + flow[..., 1]), axis=-1).round().astype(int)
    is_inside = ((target >= 0) & (target < (WIDTH, HEIGHT))).all(axis=-1) & np.isfinite(z)
    landed = depth(folder, frame + 1)[target[is_inside][:, 1], target[is_inside][:, 0]]
    ratio = landed / seen[..., 2][is_inside]
    assert np.mean(ratio > 1.04) < 0.01  # rims, where the landing is rounded to a neighbor
    assert np.mean(np.abs(ratio - 1.0) < 0.04) > 0.9


def test_flow_agrees_with_the_renderers_own(folder, tmp_path):
    flow = read_flow(folder / "flow" / "00001.exr")
    scene = spheres(frames=FRAMES)
    render._cycles(scene, clip(), 1)
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.view_layers[0].use_pass_vector = True
    scene.frame_set(1)
    render._image(scene, tmp_path)
    with OpenEXR.File(str(tmp_path / "passes.exr"), separate_channels=True) as file:
        channels = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    x, y = (next(p for name, p in channels.items() if name.endswith(f"Vector.{axis}")) for axis in "ZW")
    here = inner(np.isfinite(depth(folder, 1))) & (inner(moving(folder, 1)) | inner(~moving(folder, 1)))
    assert np.abs(np.stack((-x, y), axis=-1) - flow)[here].max() < 0.05


def test_poses_and_calibration_project_as_blenders_camera_does(folder, camera):
    scene = spheres(frames=FRAMES)
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    for frame in (1, 3):
        scene.frame_set(frame)
        for point in (Vector((0.3, 5.0, 0.4)), Vector((-2.0, 8.0, 2.0)), STANDS):
            u, v, distance = world_to_camera_view(scene, scene.camera, point)
            matrix = np.linalg.inv(pose(camera, frame))
            x, y, z = matrix[:3, :3] @ np.array(point) + matrix[:3, 3]
            assert math.isclose(z, distance, abs_tol=1e-5)
            assert math.isclose(camera["fx"] * x / z + camera["cx"], u * WIDTH - 0.5, abs_tol=1e-3)
            assert math.isclose(camera["fy"] * y / z + camera["cy"], (1.0 - v) * HEIGHT - 0.5, abs_tol=1e-3)


def test_a_cut_has_no_flow_and_shots_are_named(folder, camera):
    assert camera["shots"] == [[1, 3], [4, 5]]
    assert [entry["frame"] for entry in camera["frames"]] == [1, 2, 3, 4, 5]
    assert sorted(path.stem for path in (folder / "flow").iterdir()) == ["00001", "00002", "00003", "00004"]
    assert np.isnan(read_flow(folder / "flow" / "00003.exr")).all()
    assert np.allclose(pose(camera, 1), pose(camera, 4))  # the second shot films the scene's first half again
    assert np.allclose(pose(camera, 2), pose(camera, 5))


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_second_render_is_the_same_to_the_bit_by_any_number_of_threads(tmp_path):
    shots = (clips.Shot(build=spheres, frames=2),)
    small = clip(*shots, width=64, height=36)
    once = files(render.rendered(small, tmp_path / "once", quietly, threads=1))
    again = files(render.rendered(small, tmp_path / "again", quietly, threads=2))
    assert len(once) == 2 * 4 + 1 + 2
    assert once == again


def test_what_is_rendered_is_left_alone_until_the_clip_is_another(tmp_path):
    told = []
    shots = (clips.Shot(build=spheres, frames=2),)
    place = render.rendered(clip(*shots, width=32, height=18), tmp_path, told.append, threads=1)
    assert told
    told.clear()
    assert render.rendered(clip(*shots, width=32, height=18), tmp_path, told.append, threads=1) == place
    assert not told
    assert render.rendered(clip(*shots, width=48, height=27), tmp_path, told.append, threads=1) == place
    assert json.loads((place / "camera.json").read_text())["width"] == 48
    assert [path.name for path in tmp_path.iterdir()] == ["spheres"]


def held(*, frames):
    """The same before a locked camera."""
    scene = spheres(frames=frames)
    scene.camera.animation_data_clear()
    return scene


def test_before_a_locked_camera_what_stands_still_does_not_shimmer(tmp_path):
    small = replace(clip(clips.Shot(build=held, frames=2), width=64, height=36), grain=0.0)
    place = render.rendered(small, tmp_path, quietly, threads=1)
    first, second = (images.read_png(place / "rgb" / f"{n:05d}.png").astype(int) for n in (1, 2))
    touched = moving(place, 1) | moving(place, 2)
    assert not touched[:, :20].any()
    assert np.abs(first - second)[:, :20].max() <= 2  # the denoiser looks at the whole image
    assert np.abs(first - second)[touched].mean() > 4.0


def test_a_clip_is_rendered_anew_for_changes_of_its_own_scenes_alone():
    sources = {
        Path(sys.modules[module].__file__)
        for module in ("development.benchmark_scenes.toys", "development.benchmark_scenes.edit")
    }
    toys, edit = (render._sources(file) for file in sorted(sources, reverse=True))
    assert {"toys", "rigs", "materials", "light", "shapes"} == {file.stem for file in toys}
    assert {"edit", "toys", "avenue", "trees", "figures", "courtyard", "villa"} <= {file.stem for file in edit}
    assert "railings" not in {file.stem for file in edit}


def test_a_surface_too_far_for_16_bits_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"79\.5 m away.*65\.535 m"):
        render.rendered(clip(clips.Shot(build=far, frames=2), width=32, height=18), tmp_path, quietly, threads=1)
    assert not (tmp_path / "spheres").exists()


def test_a_clip_of_two_lenses_is_refused(tmp_path):
    shots = (clips.Shot(build=spheres, frames=2), clips.Shot(build=wider, frames=2))
    with pytest.raises(ValueError, match="begins at frame 3 has another lens"):
        render.rendered(clip(*shots, width=32, height=18), tmp_path, quietly, threads=1)


def test_the_overview_shows_plate_depth_and_flow(folder, tmp_path):
    shots = (clips.Shot(build=spheres, frames=FRAMES), clips.Shot(build=spheres, frames=2, span=(0.0, 0.5)))
    overview.write(tmp_path / "sheet.png", [(clip(*shots), folder)])
    image = images.read_png(tmp_path / "sheet.png")
    assert image.shape[1] > 3 * 480 and image.std() > 20


def test_flow_in_colors_is_white_where_nothing_moves_and_strongest_where_most_does():
    flow = np.zeros((6, 8, 2), np.float32)
    flow[:, 4:, 0] = np.linspace(1.0, 4.0, 4)
    colored = overview.color_flow(flow, np.zeros((6, 8), bool)).astype(int)
    assert (colored[:, :4] == 255).all()
    colorfulness = (colored.max(axis=-1) - colored.min(axis=-1))[0, 4:]
    assert (np.diff(colorfulness) > 0).all()
    is_moving = np.zeros((6, 8), bool)
    is_moving[2:4, 2:4] = True
    assert (overview.color_flow(flow, is_moving)[2:4, 3] == 0).all()


@pytest.mark.slow
class TestBenchmark:
    """The clips themselves, built but not rendered."""

    @pytest.fixture(scope="class")
    @classmethod
    def movements(cls):
        """Poses and moving objects of each clip's shots, in few frames, and how many objects there are."""
        found = {}
        for name, each in clips.QUICK.items():
            for shot in each.shots:
                scene = shot.build(frames=shot.length)
                poses, things = render._movements(scene, shot)
                found.setdefault(name, []).append((np.array(poses), things, len(scene.objects)))
        yield found
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)

    def test_there_is_one_clip_for_each_difficulty(self):
        assert set(clips.CLIPS) == set(clips.QUICK) == {"courtyard", "toys", "railings", "villa", "edit", "avenue"}
        assert clips.CLIPS["avenue"].frames > 195
        assert len(clips.CLIPS["edit"].shots) >= 3
        assert all(clip.name == name for name, clip in clips.CLIPS.items())

    def test_something_moves_in_every_shot_and_most_stands_still(self, movements):
        for shots in movements.values():
            for _, things, count in shots:
                assert 0 < len(things) < count / 2

    def test_the_camera_is_locked_where_it_should_be_and_moves_elsewhere(self, movements):
        locked = {
            (name, i)
            for name, shots in movements.items()
            for i, (poses, _, _) in enumerate(shots)
            if np.abs(poses - poses[0]).max() == 0.0
        }
        assert locked == {("toys", 0), ("edit", 3)}

    def test_the_quick_clips_show_the_same_time_in_fewer_frames(self):
        for name, clip in clips.CLIPS.items():
            quick = clips.QUICK[name]
            assert quick.frames < clip.frames and quick.width < clip.width
            assert [shot.span for shot in quick.shots] == [shot.span for shot in clip.shots]
            for shot in (*clip.shots, *quick.shots):
                assert shot.first >= 1 and shot.first + shot.frames - 1 <= shot.length


def test_a_wrong_scene_is_named_and_the_others_are_listed():
    done = subprocess.run(
        [sys.executable, "-m", "development.benchmark_scenes", "--scene", "beach"],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'beach'" in done.stderr and "railings" in done.stderr
