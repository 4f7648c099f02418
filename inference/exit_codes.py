"""The worker's exit codes. Standard library only."""

OK = 0
FAILED = 1
"""Something unexpected went wrong; the log has the details."""
USAGE = 2
"""The command line or the job is wrong."""
REFUSED = 3
"""The estimator cannot do what is asked of it; the message says what to do instead."""
BAD_CLIP = 4
"""The clip cannot be read as it should."""
BAD_OUTPUT = 5
"""The output folder cannot be written: locked, finished already, read-only or full."""
MISSING = 6
"""A package, weights or a device that the estimator needs is missing."""
CANCELLED = 130
"""The run was cancelled; what was finished is kept."""
