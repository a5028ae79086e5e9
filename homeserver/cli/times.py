"""Times as a person reads them: how long ago, or in how long.

Rules: a time is in milliseconds since 1970, a duration in seconds. The absolute time is
in the JSON output.
"""

from datetime import UTC, datetime

# The next unit begins where the number of the one before is no longer easily read.
_UNITS = ((1.0, "s", 120), (60.0, "min", 120), (3600.0, "h", 48))
_DAY = 86_400.0


def now_ts() -> int:
    """The time in milliseconds since 1970."""
    return int(datetime.now(UTC).timestamp() * 1000)


def duration(seconds: float) -> str:
    """As `12 s`, `5 min`, `24 h` or `3 days`; rounded down."""
    for unit, name, most in _UNITS:
        if seconds < most * unit:
            return f"{int(seconds / unit)} {name}"
    return f"{int(seconds / _DAY)} days"


def relative(ts: int, now_ts: int) -> str:
    """As `24 h ago` or `in 12 s`."""
    seconds = (ts - now_ts) / 1000
    return f"in {duration(seconds)}" if seconds >= 0 else f"{duration(-seconds)} ago"
