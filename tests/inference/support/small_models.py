"""Models of a few hundred kilobytes, and the folder in which a hub or a studio has them."""

import dataclasses
import json
import struct

import numpy as np

from inference.models import store
from inference.models.facts import Licence, Model, ModelFile

LICENCE = Licence(name="test-only", title="Test license", summary="For tests only.", url="https://example.org/licence")
LARGE, SIZE = "model.safetensors", 600_000
REVISION = "0123456789abcdef0123456789abcdef01234567"
_HEAD = 120
"""Bytes of a head of a file of a network."""
HEAD = "89abcdef0123456789abcdef0123456789abcdef"
"""Revision at which the hub has what Fathom fixes none of."""
NETWORK = Model(
    name="network",
    label="The network",
    repository="somebody/network",
    revision=REVISION,
    revision_checked=False,
    licence=LICENCE,
    files=(
        ModelFile(path="config.json", size=100),
        ModelFile(path=LARGE, size=SIZE),
        ModelFile(path="deep/er/more.safetensors", size=200_000),
    ),
)
OTHER = dataclasses.replace(
    NETWORK,
    name="other",
    label="The other network",
    repository="somebody/other",
    licence=dataclasses.replace(LICENCE, name="other-licence", title="Other license"),
    files=(ModelFile(path="model.safetensors", size=50_000),),
)


def content(path, size):
    """Bytes that no other file has; in the format that its name says, where it is that of networks."""
    made = np.random.default_rng(sum(map(ord, path))).bytes(size)
    if not path.endswith(".safetensors"):
        return made
    left = size - 8 - _HEAD
    head = json.dumps({"weights": {"dtype": "U8", "shape": [left], "data_offsets": [0, left]}}).ljust(_HEAD)
    return struct.pack("<Q", _HEAD) + head.encode() + made[:left]


def write_models(folder, *models, more=("README.md", "model.bin", "script.py", "other.safetensors")):
    """A folder of repositories with the files of models, and files that nobody asked for."""
    for model in models:
        for file in model.files:
            path = folder / model.repository / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(model.repository + file.path, file.size))
        for name in more:
            (folder / model.repository / name).write_bytes(b"not asked for")
    (folder / "revisions.json").write_text(json.dumps({model.repository: model.revision or HEAD for model in models}))
    return folder


def expected(model=NETWORK):
    """What a model's files hold, by their paths."""
    return {file.path: content(model.repository + file.path, file.size) for file in model.files}


def found(model=NETWORK):
    """What of them is there."""
    folder = store.folder(model)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def partials():
    """Sizes of the downloads that were begun."""
    return {path.stat().st_size for path in store.cache_folder().glob("*/blobs/*.incomplete")}
