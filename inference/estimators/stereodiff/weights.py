"""The weights that StereoDiff needs beside DepthCrafter's. Standard library only."""

from __future__ import annotations

from ...models.facts import Licence, Model, ModelFile

MONST3R = Model(
    name="monst3r",
    label="MonST3R's network",
    repository="Junyi42/MonST3R_PO-TA-S-W_ViTLarge_BaseDecoder_512_dpt",
    revision="",  # nobody is known to have published a pin, and it could not be looked up on the hub itself
    revision_checked=False,
    licence=Licence(
        name="cc-by-nc-sa-4.0",
        title="CC BY-NC-SA 4.0 (MonST3R)",
        summary="Free for non-commercial use that names the authors; what is made of the weights themselves is passed "
        "on under the same terms; those of the data that they were trained on come on top.",
        url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
    files=(
        ModelFile(path="config.json", size=450),
        ModelFile(path="model.safetensors", size=2_284_700_000),
    ),
)
"""The network that sees two pictures at once, fp32: DUSt3R's, trained further for scenes that move."""
