"""Media that a test defines, as other servers download them."""

from email import message_from_bytes
from email.message import Message

import pytest

from homeserver.protocol.errors import InvalidParam, NotFound, TooLarge
from homeserver.users.media import MAX_BYTES, File, Media
from tests.support.http_connection import Answer
from tests.support.user_side import UserSide

PIXEL = b"GIF89a\x01\x00--\r\n"


@pytest.fixture
def side() -> UserSide:
    """A server without media."""
    return UserSide()


def second_part(answer: Answer) -> tuple[Message, bytes]:
    """The second of two parts, the first of which is an empty object."""
    assert answer.status == 200, answer.json
    kind = answer.headers["content-type"]
    assert kind.startswith("multipart/mixed; boundary=")
    boundary = b"--" + kind.partition("boundary=")[2].encode()
    before, first, second, after = answer.body.split(boundary)
    assert (before, after) == (b"", b"--\r\n")
    assert first == b"\r\nContent-Type: application/json\r\n\r\n{}\r\n"
    head, _, body = second.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    return message_from_bytes(head), body.removesuffix(b"\r\n")


def test_media_are_downloaded_in_two_parts(side: UserSide) -> None:
    """With their bytes, their type and their name."""
    side.define_media(
        "a",
        content_type="image/gif",
        content_base64="R0lGODlhAQAtLQ0K",
        filename="a.gif",
    )
    head, body = second_part(side.ask("GET", "media/download/a"))
    assert body == PIXEL
    assert head["Content-Type"] == "image/gif"
    assert head["Content-Disposition"] == 'inline; filename="a.gif"'


@pytest.mark.parametrize(
    ("members", "disposition"),
    [
        ({"content_type": "text/html"}, "attachment"),
        ({"filename": 'a"b'}, "inline; filename*=utf-8''a%22b"),
        ({"filename": "é\r\n"}, "inline; filename*=utf-8''%C3%A9%0D%0A"),
    ],
    ids=repr,
)
def test_how_media_are_named(
    side: UserSide, members: dict[str, object], disposition: str
) -> None:
    """Types that may run are attachments; no name breaks the header."""
    side.define_media("a", content="x", **members)
    head, _ = second_part(side.ask("GET", "media/download/a"))
    assert head["Content-Disposition"] == disposition


def test_media_may_be_elsewhere(side: UserSide) -> None:
    """A URL comes in place of the bytes, for a thumbnail as well."""
    side.define_media("a", location="https://cdn.example/a")
    for route, query in [("download", {}), ("thumbnail", {"width": 1, "height": 1})]:
        head, body = second_part(side.ask("GET", f"media/{route}/a", query=query))
        assert (dict(head), body) == ({"Location": "https://cdn.example/a"}, b"")


def test_thumbnails(side: UserSide) -> None:
    """The defined one; else an image is its own, and a text has none."""
    size = {"width": 32, "height": 32}
    side.define_media("image", content_type="image/png", content="large")
    side.define_media(
        "both", content="text", thumbnail={"content_type": "image/png", "content": "s"}
    )
    side.define_media("text", content="text")
    found = [
        second_part(side.ask("GET", f"media/thumbnail/{each}", query=size))[1]
        for each in ("image", "both")
    ]
    assert found == [b"large", b"s"]
    answer = side.ask("GET", "media/thumbnail/text", query=size)
    assert (answer.status, answer.json["errcode"]) == (400, "M_UNKNOWN")


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"width": 1}, "M_MISSING_PARAM"),
        ({"width": 1, "height": -1}, "M_INVALID_PARAM"),
        ({"width": 0, "height": 1}, "M_INVALID_PARAM"),
        ({"width": "9" * 5000, "height": 1}, "M_INVALID_PARAM"),
        ({"width": "1.5", "height": 1}, "M_INVALID_PARAM"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_sizes_of_thumbnails(
    side: UserSide, query: dict[str, object], errcode: str
) -> None:
    """Both sides are needed, in pixels."""
    side.define_media("a", content_type="image/png", content="x")
    answer = side.ask("GET", "media/thumbnail/a", query=query)
    assert (answer.status, answer.json["errcode"]) == (400, errcode)


def test_unknown_media(side: UserSide) -> None:
    """404, also after they were removed."""
    side.define_media("a", content="x")
    side.media.remove("a")
    for each in ("a", "%ff"):
        with pytest.raises(NotFound):
            side.media.known(each)
    answer = side.ask("GET", "media/download/a")
    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


def test_media_that_cannot_be(side: UserSide) -> None:
    """Content twice, and what is no base64, are refused."""
    with pytest.raises(InvalidParam, match="`content_base64`"):
        side.define_media("a", content="a", content_base64="YQ==")
    with pytest.raises(InvalidParam, match="not base64"):
        side.define_media("a", content_base64="?")


def test_media_have_a_limit(side: UserSide) -> None:
    """All of them together have so many bytes; the same ID does not count twice."""
    large = File("text/plain", bytes(MAX_BYTES))
    side.media.put(Media(media_id="a", file=large))
    side.media.put(Media(media_id="a", file=large))
    with pytest.raises(TooLarge, match="delete some"):
        side.define_media("b", content="x")
