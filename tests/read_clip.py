"""The worker's reading of a clip, for tests that run in Blender: ``python read_clip.py SOURCE.json FIRST LAST OUT``.

OUT becomes an .npy of [frames, H, W, 3] float32; FIRST and LAST may be ``-`` for the clip's ends. A `ClipError` is
printed and ends it with exit code 4.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from inference.common.failures import ClipError
from inference.contract import exit_codes, records
from inference.contract.job import Source
from inference.media.clip import open_clip


def main(source: str, first: str, last: str, out: str) -> int:
    text = Path(source).read_text(encoding="utf-8")
    try:
        with open_clip(records.loads(Source, text, where="source", strict=True)) as clip:
            ends = [None if end == "-" else int(end) for end in (first, last)]
            np.save(out, np.stack([image for _, image in clip.read(*ends)]))
    except ClipError as error:
        print(error)
        return exit_codes.BAD_CLIP
    return exit_codes.OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
