"""The steps of an estimate in pieces, each by a process that knows nothing but what the others have saved."""

from dataclasses import replace

import numpy as np
import pytest

from inference.estimators import parallax


class Learned:
    """Learned depth that is the scene's, at another scale."""

    def __init__(self, depth):
        self.depth = depth

    def __getitem__(self, index):
        return (3 / self.depth[index] + 1).astype(np.float32)


def in_pieces(shot_of, names):
    """Run each phase in three pieces of new shots, as different processes do; frames are written once."""
    count = len(shot_of().frames)
    for name in names:
        for units in (range(5, count), range(2), range(2, 5)):
            phase = next(each for each in parallax.phases(shot_of()) if each.name == name)
            files = phase.run(units if phase.kind == "frame" else range(phase.units))
            assert all(path.is_file() for path in files) and (files or name == "settle")


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize("learned", [False, True])
def test_phases_in_pieces_make_the_same_bits(scene, make, tmp_path, learned):
    scene = scene.first(13)
    images = list(scene.images)
    images[6] = np.zeros_like(images[6])  # too dark to take part
    camera = None if learned else make.camera(scene.poses)
    depth = Learned(scene.depth) if learned else None
    whole = make.shot(images, tmp_path / "whole", camera=camera)
    expected = parallax.estimate(replace(whole.shot, learned=depth))
    pieces = make.shot(images, tmp_path / "pieces", camera=camera)
    names = [phase.name for phase in parallax.phases(replace(pieces.shot, learned=depth))]
    assert names == ["camera", "match", "complete", "objects", *(["blend"] if learned else []), "steady", "settle"]
    in_pieces(lambda: replace(pieces.shot, learned=depth, finished=frozenset(pieces.disparity)), names)
    assert sorted(pieces.disparity) == [index for index in range(len(images)) if index != 6]
    result = parallax.estimate(replace(pieces.shot, learned=depth, finished=frozenset(pieces.disparity)))
    assert result == expected and result.completed == learned
    np.testing.assert_array_equal(pieces.maps(), whole.maps())
    for index, sure in whole.confidence.items():
        np.testing.assert_array_equal(pieces.confidence[index], sure)
