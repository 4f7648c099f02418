"""The recipe: DepthCrafter's three stages of training as named parameters, each with its source.

Numbers in parentheses are sections of the paper (Hu et al. 2024). Where the paper is silent, the parameter says so, and
whose value it has instead. The formulas that follow from the parameters are in `objective`. Standard library only.

What the paper leaves open, and the choice made here:

* Temporal layers are those that SVD added to its image network: temporal convolutions and attention with the
  embedding of a frame's position in time, and the factors by which they are mixed into the spatial ones. Spatial layers
  are all others, those of the noise level's embedding included.
* A sequence is normalized by its own range, from its farthest to its nearest known pixel, as the clip that an estimate
  sees is: one range for all its frames (3.2).
* The gradient of a step is the mean over the sequences of its batch, whatever their lengths.
* The rate of learning is constant, Adam has its authors' other values (0.9, 0.999, 1e-8), and no weight decays.
* Frame rate, motion and augmentation, which SVD is conditioned on, are those of an estimate: 7, 127, and the strength
  of the noise that the frames were encoded with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..contract.catalogue import Parameter

STAGES: dict[int, dict[str, Any]] = {
    1: {"trained": "all", "shortest": 1, "longest": 25, "steps": 80_000},
    2: {"trained": "temporal", "shortest": 1, "longest": 110, "steps": 40_000},
    3: {"trained": "spatial", "shortest": 45, "longest": 45, "steps": 10_000},
}
"""What differs between the stages: the layers that are trained and the lengths of sequences (3.3), and the steps
(4.1). Stages 1 and 2 are for large and diverse data, stage 3 for little, exact, rendered data (3.3)."""
NETWORKS: dict[str, dict[str, Any]] = {
    "depthcrafter": {},
    "stereodiff": {"noise_mean": 0.8194, "noise_deviation": 0.5},
}
"""What differs between the networks. StereoDiff (Li et al. 2025) denoises once, from the noise level 2.269, and says
nothing of training: its levels are drawn around the logarithm of that one, so that all steps train what it does."""

PARAMETERS = (
    Parameter(
        name="trained",
        default="all",
        choices=("all", "temporal", "spatial"),
        description="Layers that are trained: all in stage 1, temporal in stage 2, spatial in stage 3 (3.3).",
    ),
    Parameter(
        name="shortest",
        default=1,
        minimum=1,
        maximum=110,
        description="Frames of the shortest sequence: 1, 1, 45 by stage (3.3).",
    ),
    Parameter(
        name="longest",
        default=25,
        minimum=1,
        maximum=110,
        description="Frames of the longest sequence: 25, 110, 45 by stage; lengths are drawn evenly (3.3).",
    ),
    Parameter(
        name="steps",
        default=80_000,
        minimum=1,
        description="Steps of the optimizer: 80000, 40000, 10000 by stage (4.1).",
    ),
    Parameter(name="width", default=640, minimum=64, maximum=4096, description="Width of sequences, in pixels (4.1)."),
    Parameter(name="height", default=320, minimum=64, maximum=4096, description="Height of sequences (4.1)."),
    Parameter(name="batch", default=8, minimum=1, maximum=4096, description="Sequences of a step (4.1)."),
    Parameter(
        name="learning_rate",
        default=1e-5,
        minimum=0.0,
        maximum=1.0,
        description="Rate of Adam, constant (4.1; the paper names no schedule).",
    ),
    Parameter(
        name="noise_mean",
        default=0.7,
        minimum=-10.0,
        maximum=10.0,
        description="Mean of the logarithm of noise levels, which are log-normal (Karras et al. 2022, table 1); not in "
        "the paper: the value with which SVD is usually fine-tuned.",
    ),
    Parameter(
        name="noise_deviation",
        default=1.6,
        minimum=0.0,
        maximum=10.0,
        description="Standard deviation of that logarithm; likewise.",
    ),
    Parameter(
        name="augmentation_mean",
        default=-3.0,
        minimum=-20.0,
        maximum=2.0,
        description="Mean of the logarithm of the strength of noise on the frames before they are encoded; not in the "
        "paper: SVD's. Estimates use 0.02, which lies within.",
    ),
    Parameter(
        name="augmentation_deviation",
        default=0.5,
        minimum=0.0,
        maximum=5.0,
        description="Standard deviation of that logarithm; likewise.",
    ),
    Parameter(
        name="condition_dropout",
        default=0.1,
        minimum=0.0,
        maximum=1.0,
        description="Share of sequences without conditioning, neither latents nor tokens, for classifier-free guidance "
        "(4.1 uses guidance; the share is SVD's).",
    ),
    Parameter(
        name="gradient_norm",
        default=1.0,
        minimum=0.0,
        description="Largest norm of a step's gradient; 0: any. Not in the paper.",
    ),
    Parameter(
        name="ema",
        default=0.9999,
        minimum=0.0,
        maximum=1.0,
        description="Decay of the average of the weights that is saved as the model; 0: the last weights. Not in the "
        "paper: SVD's.",
    ),
    Parameter(
        name="range_quantile",
        default=0.0,
        minimum=0.0,
        maximum=0.25,
        description="Share of the nearest and of the farthest known pixels that a sequence's range leaves out; the "
        "paper's range is from the least to the largest.",
    ),
    Parameter(
        name="largest_stride",
        default=3,
        minimum=1,
        maximum=100,
        description="Frames from one of a sequence to the next, drawn from 1 to this where the clip is long enough; "
        "not in the paper.",
    ),
    Parameter(
        name="smallest_crop",
        default=0.6,
        minimum=0.05,
        maximum=1.0,
        description="Sequences are crops, from this share of the largest that fits up to all of it; not in the paper.",
    ),
    Parameter(
        name="flip", default=0.5, minimum=0.0, maximum=1.0, description="Share of mirrored sequences; not in the paper."
    ),
    Parameter(
        name="color",
        default=0.2,
        minimum=0.0,
        maximum=0.9,
        description="Largest change of brightness, contrast and saturation, as a share; not in the paper.",
    ),
    Parameter(
        name="variants",
        default=8,
        minimum=1,
        maximum=1_000_000,
        description="Sequences that are drawn of each clip before they come again from the cache; not in the paper.",
    ),
    Parameter(
        name="cache", default=True, description="Whether latents and tokens are kept on the disk, as half floats."
    ),
    Parameter(
        name="checkpointing",
        default=True,
        description="Whether the layers' values are computed again for the gradient, which takes a third more time and "
        "far less memory.",
    ),
    Parameter(
        name="precision",
        default="auto",
        choices=("auto", "bf16", "fp16", "fp32"),
        description="Precision of the layers; weights and their sums stay in float32. auto: that of Accelerate's "
        "configuration, else bf16 where the GPU has it.",
    ),
    Parameter(
        name="device",
        default="auto",
        choices=("auto", "cuda", "mps", "cpu"),
        description="Device, where Accelerate's launcher does not choose it.",
    ),
    Parameter(name="save_every", default=1000, minimum=1, description="Steps between two checkpoints."),
    Parameter(
        name="validate_every",
        default=5000,
        minimum=0,
        description="Steps between two measurements on the held clips; 0: at the end alone.",
    ),
    Parameter(
        name="validation_steps", default=5, minimum=1, maximum=100, description="Denoising steps of their estimates."
    ),
    Parameter(name="seed", default=0, minimum=0, maximum=2**31 - 1, description="Of everything that is drawn."),
)
"""All parameters; defaults are stage 1's."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of `PARAMETERS`, each of which has its description and source there."""

    trained: Literal["all", "temporal", "spatial"]
    shortest: int
    longest: int
    steps: int
    width: int
    height: int
    batch: int
    learning_rate: float
    noise_mean: float
    noise_deviation: float
    augmentation_mean: float
    augmentation_deviation: float
    condition_dropout: float
    gradient_norm: float
    ema: float
    range_quantile: float
    largest_stride: int
    smallest_crop: float
    flip: float
    color: float
    variants: int
    cache: bool
    checkpointing: bool
    precision: str
    device: str
    save_every: int
    validate_every: int
    validation_steps: int
    seed: int


FREE = {"cache", "device", "save_every", "validate_every", "validation_steps", "steps"}
"""Parameters that a training may change when it is resumed: more steps follow the earlier ones."""


def parameters_of(network: str, stage: int) -> tuple[Parameter, ...]:
    """The parameters with the defaults of a network and a stage."""
    own = STAGES[stage] | NETWORKS[network]
    return tuple(dataclasses.replace(each, default=own[each.name]) if each.name in own else each for each in PARAMETERS)


def settings(network: str, stage: int, values: Mapping[str, Any]) -> Settings:
    """The settings of a stage, with some values of its parameters replaced; values are of the parameters' types.

    Raises
    ------
    ValueError
        They contradict each other; the message is one sentence.
    """
    found = Settings(**{each.name: each.default for each in parameters_of(network, stage)} | dict(values))
    if found.shortest > found.longest:
        raise ValueError(
            f"The shortest sequence ({found.shortest} frames) is longer than the longest ({found.longest})."
        )
    if found.width % 64 or found.height % 64:
        raise ValueError(
            f"Width and height must be multiples of 64, not {found.width}x{found.height}; choose "
            f"{max(64, round(found.width / 64) * 64)}x{max(64, round(found.height / 64) * 64)}."
        )
    return found
