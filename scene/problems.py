"""What stands in the way of something that the artist asked for."""

from ..inference.contract import exit_codes
from ..inference.contract.environment import MissingEnvironment
from ..inference.contract.environment_setup import SetupError
from ..inference.contract.job import JobError
from ..inference.contract.made_mattes import MattesError
from ..inference.contract.weights import WeightsError


class Problem(ValueError):
    """One sentence for the artist that says what to do; `code` is the exit code of a command that has it."""

    code = exit_codes.FAILED


PROBLEMS = (Problem, JobError, MissingEnvironment, SetupError, WeightsError, MattesError)
"""All errors that are a sentence for the artist: operators report them."""
