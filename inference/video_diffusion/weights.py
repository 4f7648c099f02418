"""The weights that DepthCrafter needs. Standard library only."""

from __future__ import annotations

from ..models.facts import Licence, Model, ModelFile

DEPTHCRAFTER = Model(
    name="depthcrafter",
    label="DepthCrafter's UNet",
    repository="tencent/DepthCrafter",
    # pinned by other published projects; it could not be verified on the hub itself
    revision="c1a22b53f8abf80cd0b025adf29e637773229eca",
    revision_checked=False,
    licence=Licence(
        name="depthcrafter",
        title="DepthCrafter license (Tencent)",
        summary="For academic, research and education purposes only; commercial and production use is forbidden "
        "(for business, ask wbhu@tencent.com).",
        url="https://huggingface.co/tencent/DepthCrafter/blob/main/LICENSE",
    ),
    files=(
        ModelFile(path="config.json", size=891),
        ModelFile(path="diffusion_pytorch_model.safetensors", size=3_050_000_000),
    ),
)
"""The depth UNet, fp16. Its 1.0.1 settings (5 steps, no guidance) came without new weights."""

SVD = Model(
    name="svd-xt",
    label="Stable Video Diffusion XT's image encoder and autoencoder",
    repository="stabilityai/stable-video-diffusion-img2vid-xt",
    # pinned by other published projects; it could not be verified on the hub itself
    revision="9e43909513c6714f1bc78bcb44d96e733cd242aa",
    revision_checked=False,
    licence=Licence(
        name="stable-video-diffusion-community",
        title="Stable Video Diffusion community license (Stability AI)",
        summary="Free for research, and for commercial use by those below the yearly revenue that the license names.",
        url="https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt/blob/main/LICENSE.md",
    ),
    files=(
        ModelFile(path="image_encoder/config.json", size=600),
        ModelFile(path="image_encoder/model.fp16.safetensors", size=1_264_000_000),
        ModelFile(path="vae/config.json", size=600),
        ModelFile(path="vae/diffusion_pytorch_model.fp16.safetensors", size=196_000_000),
        ModelFile(path="scheduler/scheduler_config.json", size=500),
    ),
)
"""The parts of SVD that DepthCrafter uses unchanged; SVD's own UNet (3 GB) is not needed."""
