"""For how long a well-known document is kept.

Rules: pure. The headers of the response decide, within bounds.

Specification: Server-server API, "GET /.well-known/matrix/server"; RFC 9111, section 5.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from twisted.web.http_headers import Headers

_HOUR = 3600.0

# "Servers should respect the cache control headers [...] use a sensible default":
# the 24 hours and the maximum of 48 are the specification's. Without a minimum, a
# document that forbids caching would be fetched for every request.
_DEFAULT_SECONDS = 24 * _HOUR
_MAX_SECONDS = 48 * _HOUR
MIN_SECONDS = 300.0

_AGE = re.compile(r"[0-9]+")
_MAX_AGE = re.compile(r'max-age="?([0-9]+)"?', re.IGNORECASE)


def asked_seconds(headers: Headers, now: float) -> float:
    """The number of seconds that the headers ask for.

    `Cache-Control`, less the `Age`, takes precedence over `Expires`; without both, the
    default applies.
    """
    directives = [
        directive.strip()
        for line in header_values(headers, b"Cache-Control")
        for directive in line.split(",")
    ]
    if any(each.lower() in {"no-store", "no-cache"} for each in directives):
        return 0.0
    ages = [match for each in directives if (match := _MAX_AGE.fullmatch(each))]
    if ages:
        age = _AGE.fullmatch("".join(header_values(headers, b"Age")[:1]))
        return float(ages[0][1]) - float(age[0] if age else 0)
    dates = header_values(headers, b"Expires")
    if not dates:
        return _DEFAULT_SECONDS
    try:
        expires = parsedate_to_datetime(dates[0])
    except (ValueError, OverflowError):
        return 0.0  # RFC 9111: an invalid date means a time in the past
    # HTTP dates are in UTC, with or without a time zone.
    return expires.replace(tzinfo=UTC).timestamp() - now


def header_values(headers: Headers, name: bytes) -> list[str]:
    """The values of a header, in order."""
    return [each.decode("latin-1") for each in headers.getRawHeaders(name, [])]


def within_bounds(seconds: float) -> float:
    """The seconds to keep a document that asks for so many.

    The upper bound is the specification's.
    """
    return min(max(seconds, MIN_SECONDS), _MAX_SECONDS)
