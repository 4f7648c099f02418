"""Network weights: what there is, where it lies, and how it gets there."""

from .verification import missing_requirements, ready

__all__ = ["missing_requirements", "ready"]
