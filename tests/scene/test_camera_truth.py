"""Camera and depth mesh against the formulas, for every way that a clip may be filmed, numbered and cut.

Each case asks both ways: every vertex, seen by the camera of ``depth.json`` with its distortion, is the pixel that it
is of, at its distance; and the render through the camera that was built is the plate, without its distortion.
"""

from dataclasses import dataclass, field, replace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import distortion
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene import nodes
from geometry_tools import attribute, evaluated, render, set_up_cycles
from mathutils import Matrix

WIDE, TALL = (48, 28), (28, 48)


@dataclass(frozen=True)
class Case:
    """A clip, and how it stands in the scene."""

    plate: tuple[int, int] = WIDE
    maps: tuple[int, int] | None = None
    frames: range = range(1, 3)
    offset: int = 0
    shots: tuple | None = None
    lens: dict = field(default_factory=dict)
    camera: dict | None = None
    """Settings of a camera of the artist's, instead of the one that is built."""
    render_scale: float = 1.0
    unit: tuple[str, float] | None = None

    def filmed(self, frames):
        width, height = self.plate
        made = depth_maker.dolly(frames, width=width, height=height, focal_length=0.9 * max(self.plate))
        return replace(made, **self.lens)


OFF_CENTER = {"principal_point": (19.0, 17.5)}
CASES = {
    "wide": Case(),
    "maps of another size": Case(maps=(31, 18)),
    "portrait": Case(plate=TALL, lens={"principal_point": (11.0, 27.0)}),
    "shift": Case(lens=OFF_CENTER),
    "wide pixels": Case(lens={"pixel_aspect": 2.0, **OFF_CENTER}),
    "tall pixels": Case(lens={"pixel_aspect": 0.5, **OFF_CENTER}),
    "portrait by wide pixels": Case(plate=(30, 48), lens={"pixel_aspect": 0.8, "principal_point": (12.0, 20.0)}),
    "render size": Case(render_scale=0.5, lens=OFF_CENTER),
    "larger render size": Case(render_scale=2.0),
    "fit vertical": Case(camera={"sensor_fit": "VERTICAL", "sensor_height": 21.0, "shift_x": 0.04, "shift_y": -0.1}),
    "fit automatic": Case(camera={"sensor_fit": "AUTO", "shift_x": 0.04, "shift_y": -0.1}),
    "fit automatic, portrait": Case(plate=TALL, camera={"sensor_fit": "AUTO", "shift_x": 0.04, "shift_y": -0.1}),
    "fit automatic, wide pixels": Case(
        plate=(30, 48), lens={"pixel_aspect": 2.0}, camera={"sensor_fit": "AUTO", "shift_y": 0.1}
    ),
    "polynomial": Case(lens={"distortion": (-0.2, 0.05), **OFF_CENTER}),
    "polynomial with k3": Case(lens={"distortion": (-0.2, 0.05, 0.02), **OFF_CENTER}),
    "division": Case(lens={"distortion": (0.15, 0.02), "distortion_model": "division", **OFF_CENTER}),
    "nuke": Case(lens={"distortion": (0.03, 0.01, 0.005, -0.005), "distortion_model": "nuke"}),
    "brown": Case(lens={"distortion": (-0.2, 0.05, 0.0, 0.0, 0.004, -0.003), "distortion_model": "brown"}),
    "brown, wide pixels": Case(
        lens={"distortion": (-0.2, 0.05, 0.0, 0.0, 0.004, -0.003), "distortion_model": "brown", "pixel_aspect": 2.0}
    ),
    "from 1001": Case(frames=range(1001, 1003)),
    "from 1001 at 1": Case(frames=range(1001, 1003), offset=-1000),
    "trimmed": Case(frames=range(7, 10), offset=35),
    "several shots": Case(frames=range(1, 5), shots=((1, 2, "done"), (3, 4, "done")), lens=OFF_CENTER),
    "centimeters": Case(unit=("metres", 0.01), lens=OFF_CENTER),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_vertices_and_renders_are_where_the_lens_saw_them(tmp_path, shared_file, case):
    folder = depth_maker.make(
        tmp_path,
        size=case.maps or case.plate,
        plate_size=case.plate,
        frames=case.frames,
        shots=case.shots,
        camera=case.filmed,
    )
    depth = depths.load(folder, frame_offset=case.offset)
    if case.unit is not None:
        unit, shared_file.unit_settings.scale_length = case.unit
        depth = replace(depth, sequence=replace(depth.sequence, unit=unit))
    cameras.fit_render_size(shared_file, depth)
    assert cameras.render_size_problem(shared_file, depth) is None
    aspect = (shared_file.render.pixel_aspect_x, shared_file.render.pixel_aspect_y)
    width, height = (round(side * case.render_scale) for side in case.plate)
    set_up_cycles(shared_file, size=(width, height))
    shared_file.render.pixel_aspect_x, shared_file.render.pixel_aspect_y = aspect
    for shot in depth.sequence.done_shots:
        known = shot.camera
        if case.camera is None:
            eye = cameras.build_camera(depth, shot, scene=shared_file)
        else:
            eye = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
            for name, value in case.camera.items():
                setattr(eye.data, name, value)
            shared_file.collection.objects.link(eye)
            shared_file.camera = eye
            known = _seen_by(eye, shared_file, known)
        mesh = meshes.build_mesh(depth, shot, eye)
        nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
        for frame in (shot.first_frame, shot.last_frame):
            _check_vertices(depth, shot, mesh, eye, known, frame, shared_file)
        seen = render(shared_file, tmp_path / "seen", frame + case.offset)[..., :3]
        wanted = _plate_seen(known, frame, width, height)
        inside = np.isfinite(wanted).all(axis=2)
        assert inside.mean() > 0.8
        assert np.abs(seen - wanted)[inside].max() < 3.5
        for thing in (mesh, eye):
            bpy.data.objects.remove(thing)


def _seen_by(eye, scene, known):
    """The contract's camera for one of the artist's, by Blender's own projection."""
    width, height = known.width, known.height
    sides = {"scale_x": scene.render.pixel_aspect_x, "scale_y": scene.render.pixel_aspect_y}
    matrix = eye.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=width, y=height, **sides)
    point = (width / 2 * (1 - matrix[0][2]) - 0.5, height / 2 * (1 + matrix[1][2]) - 0.5)
    return replace(known, focal_length=matrix[0][0] * width / 2, principal_point=point)


def _check_vertices(depth, shot, mesh, eye, known, frame, scene):
    result = evaluated(mesh, scene, frame + depth.frame_offset)
    columns, rows = depth.sequence.width, depth.sequence.height
    place = attribute(result.data, meshes.PLATE_ATTRIBUTE, 3)
    at = np.array([vertex.co for vertex in result.data.vertices])
    inner = np.all((place[:, :2] > 0) & (place[:, :2] < place[:, 2:]), axis=1)
    assert inner.sum() == columns * rows
    at, place = at[inner], place[inner]
    u, v = place[:, 0] / place[:, 2], place[:, 1] / place[:, 2]
    d = depth_maker.slanted(frame, columns, rows).astype(np.float32)[::-1]
    assert np.allclose(-1 / at[:, 2], d[np.floor(v * rows).astype(int), np.floor(u * columns).astype(int)], rtol=1e-5)
    seen_u, seen_v = _project(known, at[:, 0] / -at[:, 2], -at[:, 1] / -at[:, 2])
    # A lens map is linear in between: some thousandths of a pixel.
    assert np.abs(seen_u - u).max() * known.width < 0.02 and np.abs(seen_v - v).max() * known.height < 0.02
    # In the world, the rig's Scale times where the camera of the shot stood.
    local = Matrix(eye.matrix_world.inverted() @ result.matrix_world)
    assert np.allclose(local, np.eye(4), atol=1e-5)


def _project(known, x, y):
    """Places (u, v from the bottom) on the plate of normalized coordinates in OpenCV's axes, distorted by the lens."""
    fx, fy, cx, cy = known.intrinsics()
    if any(known.distortion):
        x, y = distortion.distort(known.distortion_model, known.distortion, x, y, unit=known.half_side / fx)
    return (fx * x + cx + 0.5) / known.width, 1 - (fy * y + cy + 0.5) / known.height


def _plate_seen(known, frame, width, height):
    """What the camera sees of the plate without its distortion: 8-bit values [H, W, 3], NaN beyond the plate."""
    fx, fy, cx, cy = known.intrinsics()
    j, i = np.mgrid[0:height, 0:width]
    x = ((i + 0.5) / width * known.width - 0.5 - cx) / fx
    y = ((j + 0.5) / height * known.height - 0.5 - cy) / fy
    u, v = _project(known, x, y)
    down = 1 - v
    color = np.stack([0.15 + 0.7 * u, 0.15 + 0.7 * down, 0.5 + 0.3 * np.sin(6 * u + 4 * down + frame)], axis=-1)
    margin = 1.0 / min(known.width, known.height)
    outside = (np.minimum(u, v) < margin) | (np.maximum(u, v) > 1 - margin)
    color[outside] = np.nan
    return 255 * color
