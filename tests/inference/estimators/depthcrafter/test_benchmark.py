"""The benchmark: what it counts, and what it prints, on tiny networks."""

import gc
import json
import re
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from inference.estimators.depthcrafter import benchmark, counting, measuring, meter  # noqa: E402
from inference.video_diffusion.execution.plan import Plan  # noqa: E402
from inference.video_diffusion.networks import random_networks  # noqa: E402

TASK = measuring.Task(
    width=1024,
    height=576,
    frames=110,
    steps=5,
    guidance=1.0,
    window=110,
    overlap=25,
    decode_chunk=8,
    repeats=1,
)


@pytest.fixture
def tiny_file(golden, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(golden["config"]))
    return path


def test_the_work_of_the_released_networks_is_what_it_is_known_to_be():
    work = counting.work(random_networks(device="meta", dtype=torch.float16), TASK)
    known = {"step": 3.20e12, "encode": 2.6e12, "decode": 6.9e12}
    assert {name: getattr(work, name) for name in known} == pytest.approx(known, rel=0.02)
    assert work.denoise == pytest.approx(5 * work.step)
    assert work.per_frame() - work.clip == pytest.approx(25.5e12, rel=0.02)
    for name in ("step", "encode", "decode"):
        assert 0.8 * getattr(work, name) < work.own[name] < getattr(work, name), "what changes nothing is left out"


def test_frames_that_windows_share_and_guidance_count_twice(golden):
    networks = random_networks(config=golden["config"], device="meta", dtype=torch.float32)
    task = replace(TASK, width=64, height=64, frames=12, window=8, overlap=2, steps=3)
    work = counting.work(networks, task)
    assert work.denoise == pytest.approx(work.step * 3 * (8 + 6) / 12)
    assert counting.work(networks, replace(task, guidance=1.2)).denoise == pytest.approx(2 * work.denoise)


def run(capsys, *arguments):
    import argparse

    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    assert benchmark.run(parser.parse_args([str(argument) for argument in arguments])) == 0
    return capsys.readouterr().out


def test_every_stage_is_measured_beside_the_stock_modules(tiny_file, capsys):
    small = ("--size", "128x64", "--frames", 10, "--window", 8, "--overlap", 2, "--steps", 2, "--repeats", 1)
    given = ("--networks", tiny_file, "--device", "cpu", *small)
    report = json.loads(run(capsys, *given, "--plain", "--json"))
    assert (report["width"], report["height"], report["frames"]) == (128, 64, 10)
    assert report["precision"] == "float32" and report["weights"] == "random"
    assert re.fullmatch(r"\d+ CPU cores?", report["device"])
    assert report["product_flops"] > 0
    for who in ("own", "plain"):
        took = report[who]["ms_per_frame"]
        assert list(took) == ["clip", "encode", "denoise", "decode", "all"]
        assert took["all"] == pytest.approx(sum(list(took.values())[:-1]))
        assert min(took.values()) > 0
        assert report[who]["finite"]
        assert set(report[who]["peak_bytes"]) == {"encode", "denoise", "decode"}
        assert all(peak["reserved"] > report["program_bytes"] for peak in report[who]["peak_bytes"].values())
    assert set(report["planned_bytes"]) == {"encode", "denoise", "decode"}
    assert max(report["planned_bytes"].values()) <= report["free_bytes"]
    assert report["psnr"]["latents"] > 80 and report["psnr"]["disparity"] > 80
    assert Plan(**report["plan"]) == Plan()

    from inference.estimators.depthcrafter import reporting

    told = reporting.measured(report)
    for words in (
        "windows of 8 with 2 shared, 2 steps",
        "plan: everything at once",
        "floor",
        "VAE encode",
        "diffusers",
    ):
        assert words in told
    assert re.search(r"\d\.\d\d times as fast as diffusers' stock modules; PSNR to theirs: latents \d+", told)


def test_a_limit_of_memory_makes_smaller_pieces(tiny_file, capsys):
    small = ("--size", "256x128", "--frames", 2, "--steps", 1, "--repeats", 1, "--device", "cpu")
    told = run(capsys, "--networks", tiny_file, *small, "--memory-limit", 0.28)
    assert re.search(r"plan: .*(rows|frames)", told)
    assert "diffusers" not in told


def test_counting_alone_runs_nothing(tiny_file, capsys):
    small = ("--networks", tiny_file, "--size", "128x64", "--frames", 6)
    report = json.loads(run(capsys, *small, "--count", "--json"))
    assert report["device"] == "none: a dry run"
    assert [card["gigabytes"] for card in report["plans"]] == list(counting.CARDS)
    assert all(card["needed_bytes"] < card["gigabytes"] * 1e9 and card["plan"] for card in report["plans"])
    told = run(capsys, *small, "--count")
    assert "UNet, one pass" in told and re.search(r"12 GB +\d\.\d GB  everything at once", told)


def test_the_ratio_of_signal_to_noise_is_known():
    def result(latents, disparity):
        return measuring.Result(seconds={}, first_seconds=0, peaks={}, latents=latents, disparity=disparity)

    flat = torch.zeros(10)
    other = result(torch.tensor([0.0, 4.0]), flat + 0.1)
    found = measuring.compare(result(torch.tensor([0.4, 4.0]), flat), other)
    assert found["disparity"] == pytest.approx(20)
    assert found["latents"] == pytest.approx(10 * torch.log10(torch.tensor(16 / 0.08)).item())
    assert measuring.compare(other, other) == {"latents": None, "disparity": None}
    assert measuring.compare(result(other.latents, flat / 0), other)["disparity"] is None


def test_the_peak_of_memory_is_seen():
    cpu = torch.device("cpu")
    gc.collect()  # so that nothing of earlier tests goes away meanwhile
    before = meter.program_bytes(cpu)
    with meter.Meter(cpu) as measured:
        block = torch.ones(400 << 20, dtype=torch.uint8)
        for _ in range(5):  # long enough to be looked at
            block.add_(1)
        del block
    assert measured.peak().allocated is None
    assert measured.peak().reserved >= before + (200 << 20)
