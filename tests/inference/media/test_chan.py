import numpy as np
import pytest

from inference.media import chan


def turn(axis, degrees):
    a = np.radians(degrees)
    c, s = np.cos(a), np.sin(a)
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def test_rotations_are_applied_about_z_first():
    """As Nuke's order ZXY says: roll, then tilt, then pan."""
    matrix = turn("y", 30) @ turn("x", -20) @ turn("z", 5)
    assert chan.rotations(matrix[None])[0] == pytest.approx([-20, 30, 5])


def test_a_pan_beyond_half_a_turn_does_not_jump():
    angles = np.arange(100, 300, 10)
    found = chan.rotations(np.stack([turn("y", angle) for angle in angles]))
    assert np.diff(found[:, 1]) == pytest.approx(10)


def test_a_line_for_each_frame():
    matrices = np.tile(np.eye(4), (2, 1, 1))
    matrices[1, :3, 3] = (1.5, -2, 3)
    text = chan.text([1001, 1002], matrices, [40.0, 41.5])
    assert text == "1001 0 0 0 0 0 0 40\n1002 1.5 -2 3 0 0 0 41.5\n"


def test_vertical_field_of_view():
    assert chan.vertical_field(50.0, 100) == pytest.approx(90)
