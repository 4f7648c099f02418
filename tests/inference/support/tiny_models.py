"""The estimators' weights in the released layout, but tiny: DepthCrafter's are the networks of the golden vectors.

`write` makes the folder that the stand-in for the hub serves (``hub.py``) and that serves as a studio's folder as well
(FATHOM_WEIGHTS). By hand: ``python tests/inference/support/tiny_models.py FOLDER``.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
if str(HERE.parents[2]) not in sys.path:
    sys.path.insert(0, str(HERE.parents[2]))


PAIR = {
    "enc_embed_dim": 32,
    "enc_depth": 2,
    "enc_num_heads": 2,
    "dec_embed_dim": 32,
    "dec_depth": 12,
    "dec_num_heads": 2,
}
"""Sizes of the tiny pair network, as its configuration names them."""
PAIR_HEADS = {"head_levels": (8, 8, 12, 16), "head_width": 16}
PAIR_SEED = 70
"""Whose points imply a focal length about as long as the image is wide, at whatever the network looks."""


def write(folder, *, dtype="float16"):
    """Write all repositories and the note of their revisions; returns the folder.

    `dtype` names the type of DepthCrafter's stored weights: float16 as released, or float32 to lose nothing.
    """
    import torch
    from safetensors.torch import save_file

    from inference.estimators.stereodiff.settings import MONST3R
    from inference.video_diffusion.networks import random_networks
    from inference.video_diffusion.weights import DEPTHCRAFTER, SVD
    from tests.inference.golden.fill import fill

    golden = json.loads((GOLDEN / "depthcrafter.json").read_text())
    networks = random_networks(config=golden["config"])
    parts = {
        "unet": (DEPTHCRAFTER, "config.json", "diffusion_pytorch_model.safetensors"),
        "vae": (SVD, "vae/config.json", "vae/diffusion_pytorch_model.fp16.safetensors"),
        "image_encoder": (SVD, "image_encoder/config.json", "image_encoder/model.fp16.safetensors"),
    }
    folder = Path(folder)
    for offset, (part, (model, config, weights)) in enumerate(parts.items()):
        network = fill(getattr(networks, part), golden["weight_seed"] + offset)
        place = folder / model.repository
        (place / weights).parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.to(getattr(torch, dtype)).contiguous() for name, t in network.state_dict().items()}
        save_file(tensors, place / weights, metadata={"format": "pt"})
        (place / config).write_text(json.dumps(_config(part, network), indent=2, sort_keys=True) + "\n")
    scheduler = {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.24.0.dev0"}
    path = folder / SVD.repository / "scheduler" / "scheduler_config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(scheduler | golden["config"]["scheduler"], indent=2) + "\n")
    # what the repositories hold besides, and must not be fetched
    (folder / SVD.repository / "unet").mkdir(exist_ok=True)
    (folder / SVD.repository / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not needed")
    (folder / SVD.repository / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"never wanted")
    _write_pair_network(folder / MONST3R.repository)
    # whatever revision is the newest where none is fixed
    revisions = {model.repository: model.revision or "5" * 40 for model in (DEPTHCRAFTER, SVD, MONST3R)}
    (folder / "revisions.json").write_text(json.dumps(revisions))
    return folder


def pair_network():
    """The tiny pair network, float32: what it sees lies in front of the camera, as far as its weights can have it."""
    import torch

    from inference.estimators.stereodiff.stage1.checkpoint_file import SIZES
    from inference.estimators.stereodiff.stage1.network import PairNetwork
    from tests.inference.golden.fill import fill

    network = PairNetwork(**{SIZES[name]: size for name, size in PAIR.items()}, **PAIR_HEADS)
    fill(network, PAIR_SEED, gain=0.7)
    for head in (network.downstream_head1, network.downstream_head2):
        last = head.dpt.head[-1]
        with torch.no_grad():
            last.bias.copy_(torch.tensor([0.0, 0.0, 1.2, 0.5]))
    return network.eval()


def _write_pair_network(folder):
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(pair_network().state_dict())
    # under the names of the release, which has some of these twice, of which a file holds but one
    renamed = {re.sub(r"layer_rn\.(\d)", lambda m: f"layer{int(m[1]) + 1}_rn", name): t for name, t in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, folder / "model.safetensors")
    facts = {"pos_embed": "RoPE100", "head_type": "dpt", "output_mode": "pts3d", "landscape_only": False, **PAIR}
    infinite = {"depth_mode": ["exp", -math.inf, math.inf], "conf_mode": ["exp", 1, math.inf]}
    (folder / "config.json").write_text(json.dumps(facts | infinite, indent=2) + "\n")


def _config(part, network):
    if part == "image_encoder":
        return {**network.config.to_dict(), "architectures": ["CLIPVisionModelWithProjection"]}
    facts = {name: value for name, value in dict(network.config).items() if not name.startswith("_")}
    own = "DiffusersUNetSpatioTemporalConditionModelDepthCrafter"  # the released file's own name for its class
    return {"_class_name": own if part == "unet" else "AutoencoderKLTemporalDecoder", **facts}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the estimators' weights in the released layout, but tiny.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32"))
    options = parser.parse_args()
    print(write(options.folder, dtype=options.dtype))
