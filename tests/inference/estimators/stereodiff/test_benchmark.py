"""The benchmark of both stages: what it counts, and what it prints, on tiny networks."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from inference.common.failures import Failure  # noqa: E402
from inference.estimators.depthcrafter.benchmark_table import Row, floor_ms, table  # noqa: E402
from inference.estimators.stereodiff import benchmark, counting, measuring, reporting  # noqa: E402
from inference.estimators.stereodiff.stage1.checkpoint_file import SIZES  # noqa: E402
from inference.estimators.stereodiff.stage1.network import PairNetwork  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402
from tests.inference.support import tiny_models  # noqa: E402

GOLDEN = Path(__file__).parents[2] / "golden"
TASK = counting.Task(
    plate=(640, 480),
    picture=(512, 384),
    width=640,
    height=512,
    frames=110,
    reach=2,
    window=110,
    overlap=0,
    decode_chunk=8,
    long_passes=110 / 85,
    repeats=1,
)
SMALL = replace(TASK, plate=(128, 64), picture=(128, 64), width=128, height=64, frames=12, window=8, overlap=2)


@pytest.fixture(scope="module")
def config():
    tiny = json.loads((GOLDEN / "depthcrafter.json").read_text())["config"]
    sizes = {SIZES[name]: size for name, size in tiny_models.PAIR.items()}
    return tiny | {"pair": sizes | tiny_models.PAIR_HEADS}


@pytest.fixture
def tiny_file(config, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(config))
    return path


def run(capsys, *arguments):
    import argparse

    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    assert benchmark.run(parser.parse_args([str(argument) for argument in arguments])) == 0
    return capsys.readouterr().out


def test_the_work_of_the_released_pair_network_is_what_it_is_known_to_be():
    with torch.device("meta"):
        network = PairNetwork()
    work = counting.matching(network, TASK)
    encoder, places = 24 * 12 * 1024**2, 768  # weights of the matrices, and patches
    attention = 24 * 2 * 2 * places**2 * 1024
    assert work["encode"] == pytest.approx(2 * encoder * places + attention, rel=0.01)
    assert TASK.pairs == 434 / 110, "n = 2, in both directions"
    assert work["pairs"] == pytest.approx(434 / 110 * 0.811e12, rel=0.01)


def test_frames_that_windows_share_are_refined_and_decoded_twice(config):
    networks = random_networks(config=config, device="meta", dtype=torch.float32)
    once = counting.refining(networks, replace(SMALL, overlap=0, frames=8))
    shared = counting.refining(networks, SMALL)
    assert SMALL.passes == 14 / 12
    for row in once:
        often = SMALL.passes if row in ("refine", "decode") else 1
        assert shared[row] == pytest.approx(often * once[row])
    assert once["prior"] == pytest.approx(once["encode"]), "the same encoder sees both"


def test_every_part_of_both_stages_is_measured(tiny_file, capsys):
    small = ("--size", "96x64", "--frames", 5, "--window", 4, "--overlap", 1, "--repeats", 1, "--reach", 1)
    report = json.loads(run(capsys, "--networks", tiny_file, "--device", "cpu", *small, "--json"))
    assert report["plate"] == [96, 64] and report["picture"] == [96, 64]
    assert (report["width"], report["height"]) == (128, 64)
    assert report["pairs"] == 8 / 5 and report["passes"] == 6 / 5 and report["long_passes"] == 4 / 3
    assert set(report["product_flops"]) == {"float32"}
    for stage, titles in ((report["stage1"], reporting.STAGE1), (report["stage2"], reporting.STAGE2)):
        took = stage["ms_per_frame"]
        assert set(took) == {*titles, "all"}
        assert took["all"] == pytest.approx(sum(took[row] for row in titles))
        assert all(took[row] > 0 for row in titles if row != "pairs"), "which is what is left of two figures"
        assert stage["finite"] and set(stage["precisions"].values()) == {"float32"}
        assert set(stage["work"]) == set(titles) - {"align"}
        assert max(stage["planned_bytes"].values()) <= stage["free_bytes"]
        assert all(peak["reserved"] > stage["program_bytes"] for peak in stage["peak_bytes"].values())
    told = reporting.measured(report)
    for words in (
        "5 frames of 96x64; stage 1 at 96x64 with n = 1; stage 2 at 128x64 in windows of 4 with 1 shared",
        "stage 1, float32, 1 pair at once",
        "stage 2, float32, everything at once",
        "UNet, 1.20 a frame",
        "1.33 passes a frame",
        "published, not measured here: 410 + 157 ms a frame on an A800 at 640x480",
    ):
        assert words in told
    for row in ("encode frames", "decode pairs", "align", "CLIP", "VAE encode, plate", "VAE encode, prior", "decode"):
        assert re.search(rf"^{row} .*\d", told, re.MULTILINE), row
    assert re.search(r"both stages: \d+\.\d ms a frame, floor \d+\.\d ms", told)


def test_counting_alone_runs_nothing(tiny_file, capsys):
    small = ("--networks", tiny_file, "--size", "96x64", "--frames", 6, "--count")
    report = json.loads(run(capsys, *small, "--json"))
    assert report["device"] == "none: a dry run"
    assert report["stage1"]["precision"] == "float32" and report["stage2"]["precision"] == "float16"
    for card in report["cards"]:
        assert card["stage1"]["gigabytes"] == card["stage2"]["gigabytes"]
        assert card["stage1"]["pairs"] == 16 and card["stage2"]["plan"]
    told = reporting.counted(report)
    assert re.search(r"stage 1 +\d+\.\d\d  float32", told) and re.search(r"stage 2 +\d+\.\d\d  float16", told)
    assert re.search(r"^12 GB +\d\.\d GB, 16 pairs at once +\d\.\d GB  everything at once$", told, re.MULTILINE)
    card = report["cards"][0]
    none = {"stage1": card["stage1"] | {"pairs": None}, "stage2": card["stage2"] | {"plan": None}}
    assert reporting.counted(report | {"cards": [none]}).count("nothing fits") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "640"), "--size 640 is no size, such as 1024x576."),
        (("--reach", "0"), "--reach 0 is less than 1."),
        (("--window", "4", "--overlap", "4"), "The overlap (4 frames) must be 0 or more"),
    ],
)
def test_options_without_sense_are_refused(capsys, arguments, said):
    with pytest.raises(Failure) as refused:
        run(capsys, "--random-weights", *arguments)
    assert said in str(refused.value)


def test_made_up_networks_need_sizes_of_the_pair_network_too(capsys, tmp_path, config):
    path = tmp_path / "networks.json"
    path.write_text(json.dumps({name: sizes for name, sizes in config.items() if name != "pair"}))
    with pytest.raises(Failure, match="must hold image_encoder, pair, scheduler, unet, vae"):
        run(capsys, "--networks", path, "--count")


def test_only_cards_round_float32():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert benchmark._name(torch.float32, cuda, rounded=True) == "float32 (TF32)"
    assert benchmark._name(torch.float32, cuda) == "float32"
    assert benchmark._name(torch.float32, cpu, rounded=True) == "float32"
    assert benchmark._name(torch.float16, cuda, rounded=True) == "float16"
    before = torch.backends.cuda.matmul.allow_tf32
    assert benchmark._pace(cpu, "float32") > 0
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_each_row_has_the_floor_of_its_own_pace():
    rows = [
        Row(title="one", ms=10, flops=1e12, product_flops=1e15, held=2_500_000_000, planned=3_000_000_000),
        Row(title="two", ms=10, flops=1e12, product_flops=2.5e14),
        Row(title="three", ms=5, flops=0, product_flops=1e15),
    ]
    assert floor_ms(rows) == pytest.approx(1 + 4)
    lines = table("who", rows, total="sum")
    assert re.fullmatch(r"one +10\.0 +1\.00 +10\.0 % +2\.50 +3\.00", lines[1])
    assert re.fullmatch(r"two +10\.0 +1\.00 +40\.0 %", lines[2])
    assert re.fullmatch(r"three +5\.0 +- +-", lines[3])
    assert re.fullmatch(r"sum +25\.0 +2\.00 +20\.0 %", lines[4])


def test_the_scene_that_is_aligned_has_a_focal_length_and_depth(config):
    task = replace(SMALL, frames=5)
    network = measuring.made_up_network(config["pair"], "cpu", torch.float32)
    clip = measuring._Matching(network, task, torch.device("cpu"), 1)
    with clip.scene() as (scores, store):
        assert len(scores) == 14
        prior = clip.align(scores, store)
        assert prior.camera.focal_length == pytest.approx(64, rel=0.05)
        assert 0.05 < prior.disparity(4).min() < prior.disparity(4).max() < 5
