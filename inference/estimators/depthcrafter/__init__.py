"""DepthCrafter: depth that holds over long shots, by video diffusion (Hu et al. 2024)."""

from __future__ import annotations

from ..base import EstimatorInfo, Parameter, Shot, ShotResult
from .weights import DEPTHCRAFTER, SVD

INFO = EstimatorInfo(
    name="depthcrafter",
    label="DepthCrafter",
    summary="Fine, steady relative depth of any shot by video diffusion, moving subjects included; "
    "for research and education only, and for a strong GPU.",
    licence="Weights: DepthCrafter's for academic, research and education use only; Stable Video Diffusion's under "
    "its community licence",
    quantity="relative_disparity",
    default_size=1024,
    packages=("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub"),
    models=(DEPTHCRAFTER, SVD),
    gpu="useful",
    parameters=(
        Parameter(
            name="steps",
            default=5,
            minimum=1,
            maximum=100,
            description="Denoising steps; the released weights are used with 5, and were with 25 at first.",
        ),
        Parameter(
            name="guidance",
            default=1.0,
            minimum=1.0,
            maximum=10.0,
            description="Classifier-free guidance; above 1 it sharpens details (1.2 was used with 25 steps) and "
            "doubles the time.",
        ),
        Parameter(
            name="window",
            default=110,
            minimum=1,
            maximum=110,
            description="Frames that are denoised together; the network was trained with up to 110, and fewer take "
            "less memory.",
        ),
        Parameter(
            name="overlap",
            default=25,
            minimum=0,
            maximum=109,
            description="Frames that two windows share; more joins them better and takes longer.",
        ),
        Parameter(
            name="noise_augmentation",
            default=0.02,
            minimum=0.0,
            maximum=1.0,
            description="Strength of the noise that is added to the plate before it is encoded.",
        ),
        Parameter(
            name="decode_chunk",
            default=8,
            minimum=1,
            maximum=110,
            description="Frames that are decoded together; more look smoother over time and take more memory.",
        ),
        Parameter(
            name="anchor",
            default=True,
            description="Start each window's overlap from what the window before has made of it.",
        ),
        Parameter(
            name="stitch",
            default=True,
            description="Fade from window to window over their overlap; off: its plain mean.",
        ),
        Parameter(
            name="device",
            default="auto",
            choices=("auto", "cuda", "mps", "cpu"),
            description="What computes; auto takes the GPU where there is one.",
        ),
        Parameter(
            name="precision",
            default="auto",
            choices=("auto", "fp16", "bf16", "fp32"),
            description="Of the networks' numbers; auto chooses by the device.",
        ),
        Parameter(
            name="memory_limit",
            default=0.0,
            minimum=0.0,
            description="Gigabytes of the device's memory to keep within; 0: all that is free.",
        ),
        Parameter(
            name="compile",
            default=False,
            description="Compile the networks first, a minute or more, which pays for itself on long clips.",
        ),
    ),
)


def estimate(shot: Shot) -> ShotResult:
    """Estimate a shot; see `estimators.base`."""
    from .estimate import estimate_shot

    return estimate_shot(shot)
