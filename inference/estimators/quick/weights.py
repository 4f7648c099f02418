"""The weights of Quick. Standard library only."""

from __future__ import annotations

from ...models.facts import Licence, Model, ModelFile

FILE = "data/models/tcmonodepth_tcsmallnet_192x320.onnx"

MODEL = Model(
    name="tcmonodepth-small",
    label="TCMonoDepth small",
    repository="locaal-ai/obs-backgroundremoval",
    revision="875ffda175fcb066380b31797c63630c8b4a3c71",
    revision_checked=True,
    licence=Licence(
        name="mit-tcmonodepth",
        title="MIT license, copyright (c) 2021 Yu Li",
        summary="Anyone may use it for anything, paid work included; copies of the weights keep this notice.",
        url="https://github.com/yu-li/TCMonoDepth/blob/128a98c6478bfe5541c8eecfe7bc3f7459861b3b/LICENSE",
    ),
    files=(
        ModelFile(path=FILE, size=790459, sha256="902b886beaebd3f68deb40bab2fd636a0c112c1ef1cbdd15fa26e5c55b389b4d"),
    ),
    address="https://raw.githubusercontent.com/locaal-ai/obs-backgroundremoval",
)
