"""For how long the headers of a response let a document be kept."""

import pytest
from twisted.web.http_headers import Headers

from homeserver.outbound.discovery.freshness import asked_seconds, within_bounds

DAY = 86400.0


NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT

# What the headers say, and for how many seconds a document with them is kept.
LIFETIMES: list[tuple[list[tuple[str, str]], float]] = [
    ([], DAY),
    ([("Cache-Control", "max-age=3600")], 3600),
    ([("Cache-Control", "Max-Age=3600")], 3600),
    ([("Cache-Control", 'max-age="3600"')], 3600),
    ([("Cache-Control", "public, max-age=3600, must-revalidate")], 3600),
    ([("Cache-Control", "  max-age=3600  ,x")], 3600),
    ([("Cache-Control", "public"), ("Cache-Control", "max-age=3600")], 3600),
    ([("Cache-Control", "max-age=3600, max-age=7200")], 3600),
    ([("Cache-Control", "max-age=3600"), ("Age", "600")], 3000),
    ([("Cache-Control", "max-age=3600"), ("Age", "9" * 5000)], 300),
    ([("Cache-Control", "max-age=3600"), ("Age", "soon")], 3600),
    ([("Cache-Control", "max-age=300")], 300),
    ([("Cache-Control", "max-age=299")], 300),
    ([("Cache-Control", "max-age=0")], 300),
    ([("Cache-Control", "max-age=172800")], 2 * DAY),
    ([("Cache-Control", "max-age=172801")], 2 * DAY),
    ([("Cache-Control", "max-age=" + "9" * 18)], 2 * DAY),
    ([("Cache-Control", "max-age=" + "9" * 5000)], 2 * DAY),
    ([("Cache-Control", "no-store")], 300),
    ([("Cache-Control", "No-Store")], 300),
    ([("Cache-Control", "no-cache")], 300),
    ([("Cache-Control", "max-age=3600, no-store")], 300),
    ([("Cache-Control", "max-age=3600"), ("Cache-Control", "no-cache")], 300),
    # What is not understood is as if it were not there.
    ([("Cache-Control", "")], DAY),
    ([("Cache-Control", "max-age")], DAY),
    ([("Cache-Control", "max-age=")], DAY),
    ([("Cache-Control", "max-age=-1")], DAY),
    ([("Cache-Control", "max-age=1.5")], DAY),
    ([("Cache-Control", "max-age=x")], DAY),
    ([("Cache-Control", "max-age=\u0663")], DAY),
    ([("Cache-Control", "s-maxage=3600")], DAY),
    ([("Cache-Control", "x-max-age=3600")], DAY),
    ([("Cache-Control", "private, \xff\xfe")], DAY),
    # Fri, 15 Jan 2027 08:00:00 GMT is now.
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 GMT")], 3600),
    ([("Expires", "Friday, 15-Jan-27 09:00:00 GMT")], 3600),
    ([("Expires", "Fri Jan 15 09:00:00 2027")], 3600),
    # "A recipient [...] MUST consider it to be in GMT", whatever it says.
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 -0000")], 3600),
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 +0200")], 3600),
    ([("Expires", "Fri, 15 Jan 2027 08:04:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 2027 07:00:00 GMT")], 300),
    ([("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")], 300),
    ([("Expires", "Mon, 18 Jan 2027 08:00:00 GMT")], 2 * DAY),
    ([("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], 2 * DAY),
    ([("Expires", "0")], 300),
    ([("Expires", "-1")], 300),
    ([("Expires", "")], 300),
    ([("Expires", "soon")], 300),
    ([("Expires", "Fri, 45 Jan 2027 09:00:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 99999999999999999999 09:00:00 GMT")], 300),
    ([("Expires", "Fri, 15 Jan 2027 99:00:00 GMT")], 300),
    ([("Expires", "caf\xe9 \xff")], 300),
    (
        [
            ("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
            ("Expires", "Fri, 15 Jan 2027 10:00:00 GMT"),
        ],
        3600,
    ),
    # `Cache-Control` goes first, if it says anything about time.
    (
        [
            ("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
            ("Cache-Control", "max-age=7200"),
        ],
        7200,
    ),
    (
        [("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"), ("Cache-Control", "no-store")],
        300,
    ),
    ([("Expires", "Fri, 15 Jan 2027 09:00:00 GMT"), ("Cache-Control", "public")], 3600),
]


@pytest.mark.parametrize(("lines", "seconds"), LIFETIMES)
def test_lifetime(lines: list[tuple[str, str]], seconds: float) -> None:
    """A document is kept as its headers say: five minutes to two days."""
    headers = Headers()
    for name, value in lines:
        headers.addRawHeader(name.encode(), value.encode("latin-1", "replace"))
    assert within_bounds(asked_seconds(headers, NOW)) == seconds
