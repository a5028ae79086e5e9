"""Errors of the operating system in its own words.

Rules: the number of an error is not told: it is for programs, and differs by system.
Commands need this without Twisted, so Twisted's errors are known by their members.
"""


def in_words(problem: BaseException) -> str:
    """What the system says of an error; for another one, its own text."""
    socket_error = getattr(problem, "socketError", None)  # of a CannotListenError
    if isinstance(socket_error, OSError):
        return in_words(socket_error)
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    if getattr(problem, "osError", None) is not None and any(problem.args):
        return str(problem.args[0])  # of a ConnectError
    if len(problem.args) > 1 and str(problem) == str(problem.args):
        # Its text would be that of a tuple, as of Twisted's InvalidAddressError.
        return ": ".join(map(str, problem.args))
    return str(problem) or type(problem).__name__
