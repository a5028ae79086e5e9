"""What a server's no is shown as, and says about when to come again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from homeserver.outbound.remote_error import Refused, read_refusal, retry_after
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import ServerName
from tests.support.manual_sender import ALPHA

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
    """A server that is not busy wants no pause."""
    assert retry_after(status, Headers({b"Retry-After": [b"120"]}), NOW) == 0


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_nothing_breaks_it(text: str) -> None:
    """Whatever stands in the header, it is a pause."""
    headers = Headers({b"Retry-After": [text.encode("latin-1")]})
    assert retry_after(429, headers, NOW) >= 0


# (status, body, what the header says, seconds)
BODY_WAITS: list[tuple[int, object, float, float]] = [
    (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, 0, 2.5),
    (503, {"retry_after_ms": 1000}, 0, 1),
    (429, {"retry_after_ms": 1500.5}, 0, 1.5005),
    (429, {"retry_after_ms": 9000}, 3, 3),
    (429, {"retry_after_ms": -5}, 0, 0),
    (429, {"retry_after_ms": 10**30}, 0, 0),
    (429, {"retry_after_ms": 1e300}, 0, 1e297),
    (429, {"retry_after_ms": "2500"}, 0, 0),
    (429, {"retry_after_ms": True}, 0, 0),
    (429, {"retry_after_ms": None}, 0, 0),
    (429, {}, 0, 0),
    (429, [2500], 0, 0),
    (500, {"retry_after_ms": 2500}, 0, 0),
    (403, {"retry_after_ms": 2500}, 0, 0),
]


@pytest.mark.parametrize(("status", "body", "header", "seconds"), BODY_WAITS)
def test_retry_after_ms(
    status: int, body: object, header: float, seconds: float
) -> None:
    """Milliseconds in the body count where the header of a busy server says nothing."""
    refused = read_refusal(ALPHA, status, encode(body), header)
    assert refused.retry_after == pytest.approx(seconds)


# (status, errcode, about the route, final)
MEANINGS: list[tuple[int, str | None, bool, bool]] = [
    (400, "M_UNRECOGNIZED", True, False),
    (400, None, True, False),
    (400, "M_BAD_JSON", False, True),
    (400, "M_UNKNOWN", False, True),
    (413, None, False, True),
    (413, "M_UNRECOGNIZED", False, True),
    (404, "M_UNRECOGNIZED", False, False),
    (405, "M_UNRECOGNIZED", False, False),
    (401, None, False, False),
    (200, None, False, False),
    (500, "M_BAD_JSON", False, False),
]


@pytest.mark.parametrize(("status", "errcode", "is_about_path", "is_final"), MEANINGS)
def test_meaning(
    status: int,
    errcode: str | None,
    is_about_path: bool,  # noqa: FBT001 - columns of the table
    is_final: bool,  # noqa: FBT001
) -> None:
    """A 400 that names no other reason is about the route, and never final."""
    refused = Refused(ALPHA, status, errcode, "")
    assert refused.is_about_path == is_about_path
    assert refused.is_final == is_final


def test_what_strangers_learn() -> None:
    """Strangers learn the status and the errcode, and nothing that the server wrote."""
    body = b'{"errcode":"M_FORBIDDEN","error":"root:x:0:0"}'
    explanation = read_refusal(ALPHA, 403, body).explanation
    assert explanation.public == "alpha.test answers 403 M_FORBIDDEN"
    assert explanation.in_full == "alpha.test answers 403 M_FORBIDDEN: 'root:x:0:0'"
    page = read_refusal(ALPHA, 500, b"<html>secret</html>").explanation
    assert page.public == "alpha.test answers 500"
    assert "secret" in page.in_full


REFUSALS: list[tuple[str | None, str, str]] = [
    ("M_LIMIT_EXCEEDED", "", "b.test answers 429 M_LIMIT_EXCEEDED"),
    ("M_LIMIT_EXCEEDED", "'no'", "b.test answers 429 M_LIMIT_EXCEEDED: 'no'"),
    (None, "'no'", "b.test answers 429 'no'"),
    (None, "", "b.test answers 429"),
]


@pytest.mark.parametrize(("errcode", "why", "said"), REFUSALS)
def test_nothing_after_a_colon(errcode: str | None, why: str, said: str) -> None:
    """A refusal without a reason ends with its errcode."""
    assert str(Refused(ServerName.parse("b.test"), 429, errcode, why)) == said
