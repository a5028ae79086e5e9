"""What a server's no says about when to come again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from homeserver.outbound.refusal import retry_after

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()

# (values of the header, seconds)
WAITS: list[tuple[list[bytes], float]] = [
    ([], 0),
    ([b"0"], 0),
    ([b"120"], 120),
    ([b" 120 "], 120),
    ([b"9" * 5000], float("inf")),
    ([b"Wed, 25 Nov 2026 12:01:40 GMT"], 100),
    ([b"Wednesday, 25-Nov-26 12:01:40 GMT"], 100),
    ([b"Wed Nov 25 12:01:40 2026"], 100),
    ([b"Wed, 25 Nov 2026 11:59:00 GMT"], 0),
    ([b""], 0),
    ([b"-5"], 0),
    ([b"1.5"], 0),
    ([b"soon"], 0),
    ([b"\xb2"], 0),
    ([b"Wed, 25 Nov 99999 12:01:40 GMT"], 0),
    ([b"120", b"240"], 0),
]


@pytest.mark.parametrize(("values", "seconds"), WAITS)
def test_retry_after(values: list[bytes], seconds: float) -> None:
    """Seconds or a date, of a server that is busy; anything else says nothing."""
    headers = Headers()
    if values:
        headers.setRawHeaders(b"Retry-After", values)
    for status in (429, 503):
        assert retry_after(status, headers, NOW) == seconds


@pytest.mark.parametrize("status", [301, 400, 403, 404, 500, 502])
def test_other_statuses(status: int) -> None:
    """Whoever is not busy wants nothing."""
    assert retry_after(status, Headers({b"Retry-After": [b"120"]}), NOW) == 0


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_nothing_breaks_it(text: str) -> None:
    """Whatever stands in the header, it is a pause."""
    headers = Headers({b"Retry-After": [text.encode("latin-1")]})
    assert retry_after(429, headers, NOW) >= 0
