"""Errors that end a verb of dev.py with one sentence."""


class Problem(Exception):
    """A verb cannot continue; the message says what happened and what to do."""


class NoInterpreter(Problem):
    """The Python that an environment needs is not on PATH."""
