"""The papers' ablations as the suites that come with Fathom, with tiny weights, clips and windows."""

import cv2
import numpy as np
import pytest
import torch
import yaml
from ground_truth_maker import write_truth

from inference.estimators.stereodiff.settings import MONST3R
from inference.estimators.stereodiff.stage1 import batches
from inference.evaluation.suites import run
from inference.evaluation.suites.outcomes import grid
from inference.evaluation.suites.suite import SHIPPED, load
from inference.models import notes
from inference.video_diffusion import loading
from inference.video_diffusion.weights import DEPTHCRAFTER, SVD
from tests.inference.support import tiny_models

HEIGHT, WIDTH = 48, 64
TINY = {"depthcrafter": {"window": 4, "overlap": 2, "steps": 2}, "stereodiff": {"window": 4, "overlap": 2}}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """A studio's folder of tiny weights, and a data folder in which their licenses were accepted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks so small lose by more
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATHOM_WEIGHTS", str(tiny_models.write(tmp_path_factory.mktemp("studio"))))
        patch.setenv("FATHOM_HOME", str(tmp_path_factory.mktemp("home")))
        for model in (MONST3R, DEPTHCRAFTER, SVD):
            notes.accept(model)
        yield
        batches.forget()
        loading.forget()
    torch.set_num_threads(threads)


def images(count):
    """A texture that moves before a camera that goes sideways."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (HEIGHT, 2 * WIDTH, 3), np.uint8), (0, 0), 1.5)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    return [texture[:, 2 * index : 2 * index + WIDTH] for index in range(count)]


def depths(count):
    return [3 + np.mgrid[:HEIGHT, :WIDTH][1] / 32 + 0.01 * index for index in range(count)]


def table_of(name, folder, **data):
    """What a suite that comes with Fathom finds, but for the length of windows, the size, and the number of runs."""
    suite = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text()) | {"runs": 1}
    for each in suite["estimators"]:
        each["parameters"] = {**each.get("parameters", {}), **TINY[each["estimator"]]}
    for each in suite["sets"]:
        each["size"] = WIDTH
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(suite, sort_keys=False))
    measured = run.run(load(file, data=data), emit=lambda event: None)
    assert [each.failure for each in measured] == [""] * len(suite["estimators"])
    table = grid(measured, suite["metrics"])
    return {row: {column: cell and cell.mean for (_, column), cell in zip(table.columns, cells, strict=True)}
            for row, cells in table.rows.items()}  # fmt: skip


@pytest.mark.slow
def test_depthcrafters_strategy_for_long_clips(tmp_path):
    write_truth(tmp_path / "long", depths(6), [np.eye(4)] * 6, rgb=True)
    for index, image in enumerate(images(6)):
        cv2.imwrite(str(tmp_path / "long" / "rgb" / f"{index:05d}.png"), image)
    table = table_of("depthcrafter-figure-6", tmp_path, long=str(tmp_path / "long"))
    assert list(table) == ["baseline", "+ initialization", "+ initialization & stitching"]
    assert all(np.isfinite(value) for row in table.values() for value in row.values())
    assert len({row["absolute_relative"] for row in table.values()}) == 3, "each does something else"


@pytest.mark.slow
def test_stereodiffs_latent_sharing_and_zerosnr(tmp_path):
    folder = tmp_path / "bonn" / "rgbd_bonn_tiny"
    for part, frames in (("rgb", images(5)), ("depth", [np.uint16(5000 * depth) for depth in depths(5)])):
        (folder / part).mkdir(parents=True)
        lines = []
        for index, frame in enumerate(frames):
            cv2.imwrite(str(folder / part / f"{index}.png"), frame)
            lines.append(f"{index / 30:.4f} {part}/{index}.png\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    table = table_of("stereodiff-table-6", tmp_path, Bonn=str(tmp_path / "bonn"))
    assert len(table) == 4 and all(np.isfinite(value) for row in table.values() for value in row.values())
    assert len({row["absolute_relative"] for row in table.values()}) == 4, "each does something else"
