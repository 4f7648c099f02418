"""The worker as tests run it: its own command line, with the estimators for tests beside the product's."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

import inference.estimators  # noqa: E402

inference.estimators.__path__.append(str(HERE / "estimators"))

from inference.commands.main import main  # noqa: E402
from tests.inference.support import killed, tiny_video_depth  # noqa: E402

if folder := os.environ.get(tiny_video_depth.INSTALLED):
    tiny_video_depth.installed(folder)
if seconds := os.environ.get("TEST_MATTES"):
    from tests.inference.support import stand_in_mattes  # needs NumPy, which tests take away from the worker

    stand_in_mattes.installed(float(seconds))
killed.prepare()
sys.exit(main())
