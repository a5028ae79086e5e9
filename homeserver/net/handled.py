"""Exceptions that were handled, without the frames that they passed.

Rules: whoever handles an exception that others cause lets go of its frames. Twisted
throws it into each coroutine that awaits, from a frame that holds its `Failure`: a
circle, in which all objects of a failed request would stay until the garbage collector
finds them, hundreds for each of them.
"""

from typing import TypeVar

from twisted.python.failure import Failure

_E = TypeVar("_E", bound=BaseException)


def handled(problem: _E) -> _E:
    """The same exception, which holds no frame; nor do those that it came from."""
    each: BaseException | None = problem
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return problem


def release(failure: Failure) -> None:
    """Let a failure hold no frame, and its exception none."""
    failure.tb = None
    if failure.value is not None:
        handled(failure.value)
