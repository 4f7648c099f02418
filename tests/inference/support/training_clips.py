"""Small clips in the layout ``folder``: squares at several depths, nearer ones brighter, over a textured wall."""

import json

import cv2
import numpy as np

WALL = 4.0
"""Depth of the wall, in meters."""


def write_clip(folder, *, frames=6, size=(64, 64), seed=0, hole=False):
    """One clip: two squares that move before a wall; with `hole`, the lower left corner has no depth."""
    width, height = size
    random = np.random.default_rng(seed)
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    texture = cv2.GaussianBlur(random.integers(0, 90, (height, width), np.uint8), (0, 0), 1.5)
    squares = [
        (random.uniform(0.8, 3.5), *random.uniform(0, 0.6, 2), *random.uniform(-0.03, 0.03, 2)) for _ in range(2)
    ]
    squares.sort(reverse=True)
    for frame in range(frames):
        depth, gray = np.full((height, width), WALL, np.float32), texture.astype(np.float32)
        for near, x, y, over, down in squares:
            left, top = round((x + frame * over) * width), round((y + frame * down) * height)
            part = np.s_[max(top, 0) : max(top + height // 3, 0), max(left, 0) : max(left + width // 3, 0)]
            depth[part], gray[part] = near, 255 - 45 * near
        if hole:
            depth[-height // 4 :, : width // 4] = 0
        image = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        cv2.imwrite(str(folder / "rgb" / f"{frame:05d}.png"), image)
        cv2.imwrite(str(folder / "depth" / f"{frame:05d}.png"), np.round(depth * 1000).astype(np.uint16))
    camera = {"width": width, "height": height, "fx": width, "fy": width, "cx": width / 2, "cy": height / 2}
    frames_ = [{"c2w_opencv": None} for _ in range(frames)]
    (folder / "camera.json").write_text(json.dumps({**camera, "frames": frames_}))
    return folder


def write_set(folder, *, clips=3, held=0, title="For tests", **options):
    """A folder of clips, and the list of them that a training takes; returns the list."""
    for index in range(clips + held):
        write_clip(folder / f"clip-{index}", seed=index, **options)
    names = [f"clip-{index}" for index in range(clips + held)]
    listed = {
        "name": "squares",
        "license": {"title": title},
        "train": [{"name": "squares", "folder": ".", "only": names[:clips]}],
    }
    if held:
        listed["held"] = [{"name": "held", "folder": ".", "only": names[clips:]}]
    (folder / "clips.yaml").write_text(json.dumps(listed))  # JSON is YAML
    return folder / "clips.yaml"
