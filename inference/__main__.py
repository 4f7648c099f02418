"""The worker's command line: ``python -m inference …``, or this file by its path."""

import signal
import sys


def _end_early(*_: object) -> None:
    """Have a signal end the start as an interrupt does; verbs that take long listen by themselves (`run.stop`)."""
    raise KeyboardInterrupt


def _start() -> int:
    """Run what the command line asks for; returns the exit code."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end_early)
    if not __package__:  # run by its path, as Blender does: the folder that holds the package is to be found first
        from pathlib import Path

        folder = Path(__file__).resolve().parent
        sys.path[:] = [str(folder.parent), *(entry for entry in sys.path if entry != str(folder))]
    from inference.commands.main import main

    return main()


if __name__ == "__main__":
    try:
        sys.exit(_start())
    except KeyboardInterrupt:  # before anything had begun that would have to be ended well
        if sys.stderr is not None:  # it may be closed
            sys.stderr.write("Cancelled.\n")
        sys.exit(130)  # `inference.contract.exit_codes.CANCELLED`, which may not have been imported yet
