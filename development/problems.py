"""What stops a verb of dev.py, said in one sentence."""


class Problem(Exception):
    """A verb cannot go on; the message says what happened and what to do."""


class NoInterpreter(Problem):
    """The Python that an environment needs is not on PATH."""
