"""Shows that training works, on two CPU cores in minutes, and counts what it takes at full size.

    python3 dev.py benchmark training                 # eight rendered clips, a tiny network: AbsRel before and after
    python3 dev.py benchmark training --count         # memory and time of the full-size network, by dry run

The tiny network has a tiny autoencoder, which is trained first to reconstruct the clips' images and disparity, since a
random one decodes nothing. Then the verb ``train`` trains stage 1 on the clips, and ``evaluate`` measures the depth of
those same clips, which shows that the loop learns, and nothing of other clips.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from inference.models import notes, trained
from inference.training import cost, data, recipe, sequences, validation
from inference.video_diffusion.networks import RELEASED, random_networks
from inference.video_diffusion.weights import SVD

PACKAGES = "full"
ROOT = Path(__file__).resolve().parents[2]
CLIPS, FRAMES, WIDTH, HEIGHT = 8, 16, 128, 64
_CHANNELS = (32, 32, 64, 64)
CONFIG = {
    "unet": {
        "sample_size": 8,
        "down_block_types": [
            "CrossAttnDownBlockSpatioTemporal",
            "CrossAttnDownBlockSpatioTemporal",
            "DownBlockSpatioTemporal",
        ],
        "up_block_types": [
            "UpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
            "CrossAttnUpBlockSpatioTemporal",
        ],
        "block_out_channels": [32, 64, 64],
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "num_attention_heads": [2, 4, 4],
    },
    "vae": {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": list(_CHANNELS),
        "layers_per_block": 1,
        "scaling_factor": 1.0,
    },
    "image_encoder": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 224,
        "patch_size": 56,
        "projection_dim": 24,
        "hidden_act": "gelu",
    },
    "scheduler": RELEASED["scheduler"],
}
"""Constructor arguments of the tiny networks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", action="store_true", help="count what full-size networks take, and train nothing")
    parser.add_argument("--clips", metavar="DIR", type=Path, help="rendered clips (default: eight are rendered)")
    parser.add_argument("--work", metavar="DIR", type=Path, default=ROOT / "build" / "training-benchmark")
    parser.add_argument("--autoencoder-steps", type=int, default=200)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--figure", metavar="FILE", type=Path, help="also draw the curves")
    options = parser.parse_args()
    if options.count:
        count()
        return
    begun = time.monotonic()
    clips = options.clips or rendered(options.work / "clips")
    print(f"clips: {time.monotonic() - begun:.0f} s", flush=True)
    os.environ |= {"FATHOM_HOME": str(options.work / "home"), "FATHOM_WEIGHTS": str(options.work / "weights")}
    listed = write_list(clips, options.work / "clips.yaml")
    begun = time.monotonic()
    unet = write_networks(listed, options.work, steps=options.autoencoder_steps)
    print(f"autoencoder: {time.monotonic() - begun:.0f} s", flush=True)
    notes.accept(SVD)
    loaded = data.load(listed)
    before = measure(unet, loaded, options.work / "untrained")
    begun = time.monotonic()
    train(listed, unet, options.work / "training", steps=options.steps)
    spent = time.monotonic() - begun
    after = measure(options.work / "training" / "model", loaded, options.work / "trained")
    rows = {
        "best constant depth": (after["flat_absolute_relative"], after["flat_delta1"]),
        "untrained network": (before["absolute_relative"], before["delta1"]),
        "trained network": (after["absolute_relative"], after["delta1"]),
    }
    print(f"{options.steps} steps of training: {spent:.0f} s\n\n{'':22}{'AbsRel':>8}{'delta1':>8}")
    for name, (error, share) in rows.items():
        print(f"{name:22}{error:8.3f}{share:8.3f}")
    if options.figure:
        draw(options.work / "training", rows, options.figure)


def rendered(folder: Path) -> Path:
    """Render the clips, by the verb of dev.py, unless they are there."""
    words = ["render-training", "--clips", CLIPS, "--frames", FRAMES, "--width", WIDTH, "--height", HEIGHT]
    subprocess.run([sys.executable, ROOT / "dev.py", *map(str, words), "--output", str(folder)], check=True)
    return folder


def write_list(clips: Path, file: Path) -> Path:
    """The list of clips to train on, which are those to measure as well."""
    names = sorted(path.name for path in clips.glob("clip-*") if path.is_dir())
    own = {"folder": str(clips.absolute()), "only": names}
    content = {
        "name": "tiny",
        "license": {"title": "For measuring alone"},
        "train": [{"name": "renders", "unknown": "far", **own}],
        "held": [{"name": "same", **own}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def write_networks(listed: Path, work: Path, *, steps: int) -> Path:
    """Train the autoencoder, and write all networks as a studio keeps them; returns the folder of the UNet."""
    torch.manual_seed(0)
    networks = random_networks(config=CONFIG)
    vae = type(networks.vae).from_config(networks.vae.config)  # with torch's own random weights
    settings = recipe.settings("depthcrafter", 1, values(steps=1))
    clips = [clip for each in data.load(listed).train for clip in data.opened(each)]
    factor = train_autoencoder(vae, settings, clips, steps=steps)
    vae.register_to_config(scaling_factor=factor)
    svd, unet = work / "weights" / SVD.repository, work / "unet"
    parts = {
        svd / "vae" / "diffusion_pytorch_model.fp16.safetensors": vae,
        svd / "image_encoder" / "model.fp16.safetensors": networks.image_encoder,
        unet / trained.WEIGHTS: type(networks.unet).from_config(networks.unet.config),
    }
    for file, network in parts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: each.contiguous() for name, each in network.state_dict().items()}, file)
        config = network.config.to_dict() if hasattr(network.config, "to_dict") else dict(network.config)
        (file.parent / "config.json").write_text(json.dumps(config))
    (svd / "scheduler").mkdir(exist_ok=True)
    (svd / "scheduler" / "scheduler_config.json").write_text(json.dumps(CONFIG["scheduler"]))
    (work / "weights" / "revisions.json").write_text(json.dumps({SVD.repository: SVD.revision}))
    return unet


def values(**more: object) -> dict[str, object]:
    """The parameters of the tiny training that differ from the recipe's."""
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "shortest": 1,
        "longest": FRAMES // 4,
        "largest_stride": 1,
        "smallest_crop": 1.0,
        "flip": 0.0,
        "color": 0.0,
        "batch": 1,
        "variants": 6,
        "learning_rate": 1e-3,
        "ema": 0.99,
        "augmentation_mean": float(np.log(0.02)),
        "augmentation_deviation": 0.1,
        "condition_dropout": 0.0,
        "checkpointing": False,
        "device": "cpu",
        **more,
    }


def train_autoencoder(vae: torch.nn.Module, settings: recipe.Settings, clips: list[data.Clip], *, steps: int) -> float:
    """Train it to reconstruct frames and disparity; returns the factor that gives disparity's latents deviation 1."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    pool, kinds = [], []
    for index, clip in enumerate(clips):
        found = sequences.pixels(settings, clip, sequences.drawn(settings, index, len(clip), 0))
        pool += [torch.from_numpy(found.images).permute(0, 3, 1, 2)]
        kinds += [torch.from_numpy(found.disparity)[:, None].expand(-1, 3, -1, -1)]
    images, maps = 2 * torch.cat(pool) - 1, 2 * torch.cat(kinds) - 1
    random = torch.Generator().manual_seed(0)
    for step in range(steps):
        some, others = (torch.randint(len(images), (2,), generator=random) for _ in range(2))
        batch = torch.cat([images[some], maps[others]])
        posterior = vae.encode(batch).latent_dist
        decoded = vae.decode(posterior.sample(random), num_frames=2).sample
        # a weak pull to the standard normal distribution keeps the latents' scale
        value = (decoded - batch).abs().mean() + 1e-4 * posterior.kl().mean() / batch[0].numel()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            error = float((decoded - batch).detach().abs().mean()) / 2
            print(f"autoencoder, step {step + 1} of {steps}: mean error {error:.3f}", flush=True)
    with torch.no_grad():
        latents: Tensor = vae.encode(maps[:: max(1, len(maps) // 32)]).latent_dist.mode()
    return 1 / float(latents.std())


def train(listed: Path, unet: Path, output: Path, *, steps: int) -> None:
    """Train by the command line, as everybody does."""
    own = values(steps=steps, save_every=steps, validate_every=max(1, steps // 3))
    words = [word for name, value in own.items() for word in ("--parameter", f"{name}={value}")]
    command = [sys.executable, "-m", "inference", "train", "depthcrafter", "--stage", "1", "--data", str(listed)]
    subprocess.run([*command, "--from", str(unet), "--output", str(output), *words], check=True, cwd=ROOT)


def measure(model: Path, listed: data.Data, work: Path) -> dict[str, float]:
    """The accuracy of a network on the clips."""
    place = work / "model"
    place.mkdir(parents=True, exist_ok=True)
    for name in (trained.CONFIG, trained.WEIGHTS):
        (place / name).write_bytes((model / name).read_bytes())
    files = tuple(trained.described(place, name) for name in (trained.CONFIG, trained.WEIGHTS))
    terms = trained.Terms(title="For measuring alone")
    trained.save(place, trained.Trained(name="tiny", network="depthcrafter", licence=terms, files=files))
    return validation.measured(
        "depthcrafter",
        work,
        listed.held,
        steps=5,
        size=max(WIDTH, HEIGHT),
        device="cpu",
        emit=lambda event: None,
        check=lambda: None,
    )


def draw(folder: Path, rows: dict[str, tuple[float, float]], file: Path) -> None:
    """The loss by step from TensorBoard's log, and AbsRel on the clips."""
    import matplotlib.pyplot as plt
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder / "log"))
    log.Reload()
    losses = log.Scalars("loss")
    steps, found = np.array([each.step for each in losses]), np.array([each.value for each in losses])
    width = max(1, len(found) // 30)
    smooth = np.convolve(found, np.ones(width) / width, "valid")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(steps, found, color="#c9d6e8", linewidth=0.7)
    left.plot(steps[width - 1 :], smooth, color="#24508c", label=f"mean of {width} steps")
    left.set(xlabel="step", ylabel="loss", yscale="log", title="Loss")
    left.legend(frameon=False)
    lines = [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]
    errors = [(0, rows["untrained network"][0]), *((line["step"], line["absolute_relative"]) for line in lines)]
    right.plot(*zip(*errors, strict=True), "o-", color="#24508c", label="the network")
    right.axhline(rows["best constant depth"][0], color="#b4561f", linestyle="--", label="best constant depth")
    right.set(xlabel="step", ylabel="AbsRel", title="AbsRel on the clips it is trained on", ylim=(0, None))
    right.legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    print(file)


def count() -> None:
    """What the stages take at full size."""
    for stage in recipe.STAGES:
        settings = recipe.settings("depthcrafter", stage, {})
        print(f"\nstage {stage}")
        for sentence in cost.sentences(settings, clips=1):
            print(f"  {sentence}")


if __name__ == "__main__":
    main()
