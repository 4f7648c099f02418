"""Network weights: facts, download, checksums, licenses and the folders they are stored in."""

from .verification import missing_requirements, ready

__all__ = ["missing_requirements", "ready"]
