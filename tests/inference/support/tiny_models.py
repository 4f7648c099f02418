"""DepthCrafter's weights in the released layout, but tiny: the networks of the golden vectors.

`write` makes the folder that the stand-in for the hub serves (``hub.py``) and that serves as a studio's folder as well
(FATHOM_WEIGHTS). By hand: ``python tests/inference/support/tiny_models.py FOLDER``.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
if str(HERE.parents[2]) not in sys.path:
    sys.path.insert(0, str(HERE.parents[2]))


def write(folder, *, dtype="float16"):
    """Write both repositories and the note of their revisions; returns the folder.

    `dtype` names the type of the stored weights: float16 as released, or float32 to lose nothing.
    """
    import torch
    from safetensors.torch import save_file

    from inference.estimators.depthcrafter.networks import random_networks
    from inference.estimators.depthcrafter.weights import DEPTHCRAFTER, SVD
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
    (folder / "revisions.json").write_text(json.dumps({m.repository: m.revision for m in (DEPTHCRAFTER, SVD)}))
    return folder


def _config(part, network):
    if part == "image_encoder":
        return {**network.config.to_dict(), "architectures": ["CLIPVisionModelWithProjection"]}
    facts = {name: value for name, value in dict(network.config).items() if not name.startswith("_")}
    own = "DiffusersUNetSpatioTemporalConditionModelDepthCrafter"  # the released file's own name for its class
    return {"_class_name": own if part == "unet" else "AutoencoderKLTemporalDecoder", **facts}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write DepthCrafter's weights in the released layout, but tiny.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32"))
    options = parser.parse_args()
    print(write(options.folder, dtype=options.dtype))
