"""The weights of Video Depth Anything. Standard library only."""

from __future__ import annotations

from ...models.facts import Licence, Model, ModelFile

APACHE = Licence(
    name="apache-2.0",
    title="Apache License 2.0",
    summary="Anyone may use it for anything, paid work included; copies of the weights keep the license and its "
    "notices.",
    url="https://www.apache.org/licenses/LICENSE-2.0",
    needs_acceptance=False,
)

SMALL = Model(
    name="video-depth-anything-small",
    label="Video Depth Anything small",
    repository="depth-anything/Video-Depth-Anything-Small",
    # pinned, with the file's size and sha256, by several published projects; not verified on the hub itself
    revision="256875362cff76724b920335dfb4b29dd611f66e",
    revision_checked=False,
    licence=APACHE,
    files=(
        ModelFile(
            path="video_depth_anything_vits.pth",
            size=116_440_756,
            sha256="13379300b739e659f076a59d52e9801bd8d38c541a7e71f73bbca4dcfb013609",
        ),
    ),
)
"""Relative disparity."""

METRIC = Model(
    name="video-depth-anything-metric-small",
    label="Video Depth Anything small, metric",
    repository="depth-anything/Metric-Video-Depth-Anything-Small",
    revision="273d090f2ce17df50c2872d82c8322c45da5b4dd",
    revision_checked=False,
    licence=APACHE,
    files=(
        ModelFile(
            path="metric_video_depth_anything_vits.pth",
            size=116_444_063,
            sha256="3c28432b4e1f0d7bb31cad5151b6313b49457db5aa58d82e85bfb0f8b1311b33",
        ),
    ),
)
"""Depth in meters."""
