"""The mapper's model of made-up tracks, for tests of what is made of such models."""

import numpy as np
import pycolmap

from inference.estimators.parallax import solve
from inference.estimators.parallax.tracks import Tracks


def everywhere_tracks(seen):
    """Tracks of points that every frame sees, at [frames, points, 2]."""
    count, points = seen.shape[:2]
    ids = np.tile(np.arange(points, dtype=np.int32), count)
    return Tracks(np.arange(count + 1) * points, ids, seen.reshape(-1, 2).astype(np.float32))


def mapped(tracks, lens, folder, *, start):
    """The model of all frames at a focal length of `start`, which stays."""
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    database = folder / "tracks.db"
    solve._fill(database, tracks, list(range(len(tracks))), lens, start)
    solve._verify(database, 0)
    model = solve._map(database, folder, 0, refine_focal=False)
    assert model is not None and model.num_points3D() > 100
    return model
