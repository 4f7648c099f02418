"""Models of a few hundred kilobytes, and the folder in which a hub or a studio has them."""

import dataclasses
import json

import numpy as np

from inference.models.facts import Licence, Model, ModelFile

LICENCE = Licence(name="test-only", title="Test licence", summary="For tests only.", url="https://example.org/licence")
REVISION = "0123456789abcdef0123456789abcdef01234567"
NETWORK = Model(
    name="network",
    label="The network",
    repository="somebody/network",
    revision=REVISION,
    revision_checked=False,
    licence=LICENCE,
    files=(
        ModelFile(path="config.json", size=100),
        ModelFile(path="model.safetensors", size=600_000),
        ModelFile(path="deep/er/more.safetensors", size=200_000),
    ),
)
OTHER = dataclasses.replace(
    NETWORK,
    name="other",
    label="The other network",
    repository="somebody/other",
    licence=dataclasses.replace(LICENCE, name="other-licence", title="Other licence"),
    files=(ModelFile(path="model.safetensors", size=50_000),),
)


def content(path, size):
    """Bytes that no other file has."""
    return np.random.default_rng(sum(map(ord, path))).bytes(size)


def write_models(folder, *models, more=("README.md", "model.bin", "script.py", "other.safetensors")):
    """A folder of repositories with the files of models, and files that nobody asked for."""
    for model in models:
        for file in model.files:
            path = folder / model.repository / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(model.repository + file.path, file.size))
        for name in more:
            (folder / model.repository / name).write_bytes(b"not asked for")
    (folder / "revisions.json").write_text(json.dumps({model.repository: model.revision for model in models}))
    return folder
