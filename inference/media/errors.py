"""What goes wrong with clips."""

from __future__ import annotations


class ClipError(Exception):
    """A clip cannot be read as it should.

    Parameters
    ----------
    what : str
        What is wrong, naming the file and, where there is one, the frame; no full stop.
    cure : str
        What to do instead; no full stop.

    The message is both as one sentence.
    """

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}; {cure}.")
        self.what, self.cure = what, cure

    def __reduce__(self) -> tuple[type[ClipError], tuple[str, str]]:
        """Pickle by both parts, so that the error survives the way out of a child process."""
        return type(self), (self.what, self.cure)
