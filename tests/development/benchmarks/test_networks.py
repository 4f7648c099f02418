"""The benchmark of the networks: what it counts, measures and prints, on tiny networks."""

import gc
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from development.benchmarks import networks  # noqa: E402
from inference.contract import exit_codes  # noqa: E402
from inference.estimators import registry  # noqa: E402
from inference.estimators.stereodiff.stage1 import joining  # noqa: E402
from inference.estimators.stereodiff.stage1.checkpoint_file import SIZES  # noqa: E402
from inference.estimators.stereodiff.stage1.pair_store import PairStore  # noqa: E402
from inference.estimators.stereodiff.stage1.pairs import pairs  # noqa: E402
from inference.estimators.stereodiff.stage1.result import MatchedPrior  # noqa: E402
from inference.video_diffusion.execution.forward import OWN, PLAIN  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from tests.inference.support import tiny_models  # noqa: E402
from tests.inference.support.tiny_networks import golden, one_thread  # noqa: E402, F401 - fixtures

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--size", "128x64", "--frames", "5", "--window", "4", "--overlap", "1", "--repeats", "1", "--device", "cpu")


@pytest.fixture
def config(golden):  # noqa: F811
    pair = {SIZES[name]: size for name, size in tiny_models.PAIR.items()} | tiny_models.PAIR_HEADS
    return golden["config"] | {"pair": pair}


@pytest.fixture
def tiny_file(config, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(config))
    return str(path)


def task(name, config=None, *, size=(1024, 576), frames=110, **parameters):
    defaults = {parameter.name: parameter.default for parameter in registry.info(name).parameters}
    return networks.Task(name, *size, frames, defaults | parameters, config or {})


def run(capsys, *arguments):
    assert networks.main(list(arguments)) == 0
    return capsys.readouterr().out


def alone(*arguments):
    """What the benchmark prints in a process of its own, as its users run it.

    A process that ran other tests gives memory back meanwhile, so that its peak may lie below what it began with.
    """
    command = [sys.executable, "-m", "development.benchmarks.networks", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.slow
def test_the_work_of_the_released_networks_is_what_it_is_known_to_be():
    stock, own = (networks.work(task("depthcrafter"), forward) for forward in (PLAIN, OWN))
    assert stock == pytest.approx(stock | {"denoise": 5 * 3.20e12, "encode": 2.6e12, "decode": 6.9e12}, rel=0.02)
    assert sum(stock.values()) - stock["clip"] == pytest.approx(25.5e12, rel=0.02)
    for name in ("denoise", "encode", "decode"):
        assert 0.8 * stock[name] < own[name] < stock[name], "what changes nothing is left out"


@pytest.mark.slow
def test_the_work_of_the_released_pair_network_is_what_it_is_known_to_be(config):
    small = {name: sizes for name, sizes in config.items() if name != "pair"}
    found = networks.work(task("stereodiff", small, size=(640, 480)), OWN)
    encoder, places = 24 * 12 * 1024**2, 768  # weights of the matrices, and patches of a frame of 512x384
    attention = 24 * 2 * 2 * places**2 * 1024
    assert found["frames"] == pytest.approx(2 * encoder * places + attention, rel=0.01)
    assert found["pairs"] == pytest.approx(434 / 110 * 0.811e12, rel=0.01), "n = 2, in both directions"


@pytest.mark.slow
def test_frames_that_windows_share_and_guidance_count_twice(config):
    def work(name, **changed):
        return networks.work(task(name, config, size=(64, 64), window=8, **changed), OWN)

    one = work("depthcrafter", frames=8, overlap=2, steps=1)
    three = work("depthcrafter", frames=12, overlap=2, steps=3)
    assert three["denoise"] == pytest.approx(3 * one["denoise"] * (8 + 6) / 12)
    guided = work("depthcrafter", frames=12, overlap=2, steps=3, guidance=1.2)
    assert guided["denoise"] == pytest.approx(2 * three["denoise"])
    once, shared = (work("stereodiff", frames=frames, overlap=2) for frames in (8, 12))
    for row in set(once) - {"pairs"}:
        often = 14 / 12 if row in ("refine", "decode") else 1
        assert shared[row] == pytest.approx(often * once[row])
    assert once["prior"] == pytest.approx(once["encode"]), "the same encoder sees both"


@pytest.mark.slow
def test_every_stage_is_measured_beside_the_stock_modules(tiny_file):
    report = json.loads(alone("depthcrafter", "--networks", tiny_file, *SMALL, "--steps", "2", "--plain", "--json"))
    assert (report["width"], report["height"], report["frames"]) == (128, 64, 5)
    assert report["passes"] == 6 / 5 and report["parameters"]["steps"] == 2
    assert report["precision"] == "float32" and report["weights"] == "random"
    assert re.fullmatch(r"\d+ CPU cores?", report["device"])
    assert report["product_flops"]["float32"] > 0
    for who in ("own", "plain"):
        took = report[who]["ms_per_frame"]
        assert list(took) == ["clip", "encode", "denoise", "decode", "all"]
        assert took["all"] == pytest.approx(sum(list(took.values())[:-1])) and min(took.values()) > 0
        assert report[who]["whole_ms_per_frame"] >= took["all"] and report[who]["first_seconds"] > 0
        assert set(report[who]["peak_bytes"]) <= {"encode", "denoise", "decode"}
        assert all(peak > report["program_bytes"] for peak in report[who]["peak_bytes"].values())
    assert set(report["planned_bytes"]) == {"encode", "denoise", "decode"}
    assert report["psnr"]["latents"] > 80 and report["psnr"]["disparity"] > 80
    assert Plan(**report["plan"]) == Plan()
    text = networks.measured_text(report)
    for words in (
        "windows of 4 that share 1",
        "steps 2",
        "plan: everything at once",
        "floor",
        "VAE encode",
        "diffusers",
    ):
        assert words in text
    assert re.search(r"\d\.\d\d times as fast as diffusers' stock modules; PSNR to theirs: latents \d+", text)


@pytest.mark.slow
def test_every_part_of_both_stages_is_measured(tiny_file, capsys):
    report = json.loads(run(capsys, "stereodiff", "--networks", tiny_file, *SMALL, "--reach", "1", "--json"))
    rows = networks.ROWS["stereodiff"]
    took = report["own"]["ms_per_frame"]
    assert set(took) == {*rows, "all"} and min(took.values()) > 0
    assert set(report["work"]["own"]) == set(rows) - {"align"}
    assert set(report["own"]["peak_bytes"]) <= set(rows) and report["plain"] is None
    text = networks.measured_text(report)
    for row in rows.values():
        assert re.search(rf"^{row.title} .*\d", text, re.MULTILINE), row.title
    assert "1.20 passes a frame, reach 1" in text and "diffusers" not in text


@pytest.mark.slow
def test_a_limit_of_memory_makes_smaller_pieces(tiny_file, capsys):
    small = ("--size", "256x128", "--frames", "2", "--steps", "1", "--repeats", "1", "--device", "cpu")
    report = json.loads(
        run(capsys, "depthcrafter", "--networks", tiny_file, *small, "--memory-limit", "0.28", "--json")
    )
    assert max(report["planned_bytes"].values()) <= 0.28e9
    assert re.search(r"plan: .*(rows|frames)", networks.measured_text(report))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parts"), [("depthcrafter", 1), ("stereodiff", 2)])
def test_counting_alone_runs_nothing(tiny_file, capsys, monkeypatch, name, parts):
    monkeypatch.delattr(networks, "measure")
    small = (name, "--networks", tiny_file, "--size", "128x64", "--frames", "6", "--count")
    report = json.loads(run(capsys, *small, "--json"))
    assert list(report["gpus"]) == [str(size) for size in networks.GPUS]
    for size, needed in report["gpus"].items():
        assert [words for words, _ in needed] == ["16 pairs at once", "everything at once"][-parts:]
        assert all(0.6e9 < each < int(size) * 1e9 for _, each in needed)
    text = networks.counted_text(report)
    assert re.search(r"VAE encode +\d\.\d\d +\d\.\d\d$", text, re.MULTILINE)
    assert re.search(r"12 GB +\d\.\d GB  everything at once", text)


@pytest.mark.slow
def test_a_gpu_that_is_too_small_is_told(config):
    found = networks.needed(task("stereodiff", config, size=(128, 64), frames=6), 0.7)
    assert [words for words, _ in found] == ["nothing fits", "nothing fits"]
    assert all(needed > 0.7e9 for _, needed in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("parallax",), "depthcrafter|stereodiff"),
        (("clairvoyance",), "depthcrafter|stereodiff"),
        (("depthcrafter", "--size", "1024"), "--size"),
        (("depthcrafter", "--frames", "0"), "--frames"),
        (("stereodiff", "--reach", "0"), "--reach: 0 is not between 1 and 10"),
        (("depthcrafter", "--count", "--precision", "fp8"), "fp8"),
        (("depthcrafter", "--count", "--window", "8", "--overlap", "8"), "The overlap (8 frames) must be 0 or more"),
        (("depthcrafter", "--random-weights", "--device", "cuda:77"), "The device 'cuda:77' is not available"),
        (("depthcrafter", "--count", "--networks", "nowhere.json"), "nowhere.json"),
    ],
)
def test_options_that_make_no_sense_are_declined_in_a_sentence(capsys, arguments, words):
    try:
        code = networks.main(list(arguments))
    except SystemExit as stopped:
        code = stopped.code
    printed = capsys.readouterr()
    assert code not in (None, exit_codes.OK) and words in printed.err and "Traceback" not in printed.err
    assert printed.out == ""


def test_networks_in_a_file_are_all_that_the_estimator_has(capsys, tmp_path, config):
    path = tmp_path / "networks.json"
    path.write_text(json.dumps({name: sizes for name, sizes in config.items() if name != "pair"}))
    assert networks.main(["stereodiff", "--networks", str(path), "--count"]) == exit_codes.USAGE
    assert "must hold image_encoder, pair, scheduler, unet, vae" in capsys.readouterr().err


def test_without_weights_the_command_that_gets_them_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    assert networks.main(["depthcrafter", "--device", "cpu"]) == exit_codes.MISSING
    assert "models download" in capsys.readouterr().err


def test_an_estimators_own_options_are_listed(capsys):
    with pytest.raises(SystemExit):
        networks.main(["depthcrafter", "--help"])
    text = capsys.readouterr().out
    for option in ("--random-weights", "--plain", "--count", "--memory-limit", "--compile", "--steps"):
        assert option in text


def test_the_ratio_of_signal_to_noise_is_known():
    flat, latents = torch.zeros(10), torch.tensor([0.0, 4.0])
    assert networks.decibels([flat], [flat + 0.1], peak=1.0) == pytest.approx(20)
    found = networks.decibels([torch.tensor([0.4, 4.0])], [latents])
    assert found == pytest.approx(10 * torch.log10(torch.tensor(16 / 0.08)).item())
    assert networks.decibels([latents], [latents]) is None
    assert networks.decibels([flat / 0], [flat], peak=1.0) is None


@pytest.mark.slow
def test_the_peak_of_memory_is_seen(monkeypatch):
    def work():
        block = torch.ones(400 << 20, dtype=torch.uint8)
        for _ in range(5):  # long enough to be looked at
            block.add_(1)

    cpu, target = torch.device("cpu"), networks.device
    monkeypatch.setattr(target, "work", work, raising=False)
    gc.collect()  # so that nothing of earlier tests goes away meanwhile
    before = networks.held_bytes(cpu)
    with networks.Stopwatch({"row": networks.Row("row", "video_diffusion.device.work")}, cpu) as watch:
        target.work()
    assert target.work is work
    assert watch.peaks["row"] >= before + (200 << 20) and watch.seconds["row"] > 0


def test_what_runs_inside_another_row_is_not_that_ones_own(monkeypatch):
    def outer():
        return networks.device.inner()

    monkeypatch.setattr(networks.device, "inner", lambda: None, raising=False)
    monkeypatch.setattr(networks.device, "outer", outer, raising=False)
    monkeypatch.setattr(networks.time, "perf_counter", itertools.count().__next__)  # a second between two looks
    rows = {name: networks.Row(name, f"video_diffusion.device.{name}") for name in ("inner", "outer")}
    with networks.Stopwatch(rows, torch.device("cpu")) as watch:
        networks.device.outer()
    assert watch.seconds == {"inner": 1, "outer": 2}


def test_the_plain_product_leaves_the_precision_of_products_as_it_was():
    before = torch.backends.cuda.matmul.allow_tf32
    assert networks.product_flops(torch.device("cpu"), torch.float32) > 0
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_each_row_has_the_floor_of_its_own_precision():
    report = {
        "estimator": "depthcrafter",
        "precision": "float16",
        "product_flops": {"float16": 1e15, "float32": 2.5e14},
        "program_bytes": 0,
        "planned_bytes": {"denoise": 3_000_000_000},
        "plan": {"compiled": True},
    }
    found = {
        "ms_per_frame": {"clip": 5.0, "encode": 10.0, "denoise": 10.0, "all": 25.0},
        "peak_bytes": {"denoise": 2_500_000_000},
        "whole_ms_per_frame": 30.0,
        "first_seconds": 1.0,
    }
    lines = list(networks._table("who", found, {"encode": 1e12, "denoise": 1e12}, report))
    assert re.fullmatch(r"CLIP +5\.0 +- +-", lines[2])
    assert re.fullmatch(r"VAE encode +10\.0 +1\.00 +40\.0%", lines[3])
    assert re.fullmatch(r"denoise +10\.0 +1\.00 +10\.0% +2\.50 +3\.00", lines[4])
    assert re.fullmatch(r"all +25\.0 +2\.00 +20\.0%", lines[5])
    assert "compiling: 1.0 s" in lines[6]


def test_the_scene_that_is_aligned_has_a_focal_length_and_depth(tmp_path):
    size, count = (128, 64), 5
    store = PairStore(Path(tmp_path), 2)
    for pair in pairs(count, 2):
        store.add([pair], *networks._wall(*size, pair[1] - pair[0]))
    assert len(store.scores) == 14
    found = joining.join(count, store.scores, store.read, robust=True, device=torch.device("cpu"), numbers=range(count))
    prior = MatchedPrior(store, *found, size=size, numbers=range(count))
    assert prior.camera.focal_length == pytest.approx(64, rel=0.05)
    assert 0.05 < prior.disparity(4).min() < prior.disparity(4).max() < 5
