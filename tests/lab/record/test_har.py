"""A record as an archive of requests (HAR 1.2)."""

from homeserver.lab.record.har import build_har
from homeserver.net.http_message import Message
from tests.support.exchanges import exchange
from tests.support.har import HarPair, HarPostData, check_har
from tests.support.lab_records import PDUS, recorded


def test_requests_are_an_archive() -> None:
    """Requests are entries with their bodies, and other exchanges are left out."""
    record = recorded(
        exchange(PDUS, b'{"pdus":{}}'),
        exchange(kind="dns"),
        exchange(b"", b"\xff", direction="out", status=299, address="::1"),
    )
    asked = next(record.find()).exchange
    assert asked.details is not None
    asked.details.target = "/_matrix/federation/v1/send/1?a=%21&b"
    first, second = check_har(build_har(record.find())).log.entries
    assert first.startedDateTime == "2023-11-14T22:13:20.000+00:00"
    assert first.time == 500
    assert first.request.url == ("https://a.test/_matrix/federation/v1/send/1?a=%21&b")
    assert first.request.queryString == [
        HarPair("a", "!"),
        HarPair("b", ""),
    ]
    assert first.request.postData == HarPostData("application/json", PDUS.decode(), [])
    assert first.response.content.text == '{"pdus":{}}'
    assert (first.response.statusText, first.response.redirectURL) == ("OK", "/y")
    assert second.request.url == "https://peer.test/_matrix/federation/v1/send/1"
    assert second.request.postData is None
    assert second.response.content.encoding == "base64"
    assert (second.response.statusText, second.serverIPAddress) == ("", "::1")


def test_versions_and_phrases_are_those_of_the_wire() -> None:
    """What a start line says is in the archive, and not what is usual."""
    odd = exchange()
    assert odd.details is not None
    odd.details.request = Message.of([], start_line="PUT /a HTTP/1.0")
    odd.details.response = Message.of([], start_line="HTTP/1.0 200 All is well")
    [entry] = check_har(build_har(recorded(odd).find())).log.entries
    assert entry.request.httpVersion == entry.response.httpVersion == "HTTP/1.0"
    assert entry.response.statusText == "All is well"
