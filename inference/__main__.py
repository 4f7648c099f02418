"""The worker's command line: ``python -m inference …``, or this file by its path."""

import sys

if not __package__:  # run by its path, as Blender does: the folder that holds the package is to be found first
    from pathlib import Path

    folder = Path(__file__).resolve().parent
    sys.path[:] = [str(folder.parent), *(entry for entry in sys.path if entry != str(folder))]

from inference.commands.main import main
from inference.exit_codes import CANCELLED

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before anything had begun that would have to be ended well
        sys.exit(CANCELLED)
