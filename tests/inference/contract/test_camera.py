"""The camera's numbers at other sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract.camera import SENSOR_WIDTH, Camera, parse_lens

CAMERAS = st.builds(
    Camera,
    width=st.integers(16, 8192),
    height=st.integers(16, 8192),
    focal_length=st.floats(10, 1e5),
    principal_point=st.tuples(st.floats(0, 8192), st.floats(0, 8192)),
)


@given(CAMERAS, st.integers(16, 8192), st.integers(16, 8192))
def test_scaling_there_and_back_changes_nothing(camera, width, height):
    back = camera.scaled(width, height).scaled(camera.width, camera.height)
    np.testing.assert_allclose(back.focal_length, camera.focal_length, rtol=1e-9)
    np.testing.assert_allclose(back.principal_point, camera.principal_point, rtol=1e-9, atol=1e-6)


@given(CAMERAS, st.integers(1, 8), st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_a_ray_falls_on_the_same_place_of_the_image(camera, factor, ray):
    large = camera.scaled(camera.width * factor, camera.height * factor)

    def place(seen):  # 0 to 1 from the image's left and upper rim; a pixel's center lies half a pixel in
        size = np.array((seen.width, seen.height))
        return (seen.focal_length * np.array(ray) + seen.principal_point + 0.5) / size

    np.testing.assert_allclose(place(large), place(camera), rtol=1e-9, atol=1e-9)


@given(st.integers(16, 4096), st.integers(16, 4096), st.integers(16, 4096), st.integers(16, 4096))
def test_the_middle_stays_the_middle(width, height, to_width, to_height):
    camera = Camera(width=width, height=height, focal_length=100.0, principal_point=((width - 1) / 2, (height - 1) / 2))
    found = camera.scaled(to_width, to_height).principal_point
    np.testing.assert_allclose(found, ((to_width - 1) / 2, (to_height - 1) / 2), atol=1e-6)


@pytest.mark.parametrize(
    ("typed", "sensor_width", "lens"),
    [
        ("35", None, (35.0, SENSOR_WIDTH)),
        ("35mm", None, (35.0, SENSOR_WIDTH)),
        (" 24.5 mm ", 24.9, (24.5, 24.9)),
        (".5", 6.0, (0.5, 6.0)),
        ("960px", None, (18.0, SENSOR_WIDTH)),
    ],
)
def test_a_lens_is_in_millimeters_unless_it_says_pixels(typed, sensor_width, lens):
    assert parse_lens(typed, sensor_width, width=1920) == lens
    camera = Camera.from_lens(*lens, width=1920, height=1080)
    assert camera.focal_length == lens[0] / lens[1] * 1920
    assert (camera.principal_point, camera.poses) == ((959.5, 539.5), ())


@pytest.mark.parametrize("typed", ["", "long", "0", "-35", "35cm", "1e3", "nan", "9" * 400, "0px"])
def test_what_is_no_focal_length_is_refused(typed):
    with pytest.raises(ValueError, match=r"\[\[focal_length\]\] must be in millimeters"):
        parse_lens(typed, None, width=1920)
