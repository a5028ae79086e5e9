"""Media of one of our servers that a test defines, and the body that has them.

Rules: as those of `users`. The body has two parts, of which the first is an empty
object. No thumbnail is made: a test defines its bytes, or the media are their own.

Specification: Server-server API, "Content Repository"; RFC 2046, 5.1; RFC 6266.
"""

from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote as percent_encode

from msgspec import Struct

from homeserver.http.reply import Reply
from homeserver.protocol.errors import NotFound, TooLarge, quote

MAX_BYTES = 50_000_000  # of a server, in all

# Client-server API, "Serving inline content".
_SHOWN = frozenset(
    {
        "text/css",
        "text/plain",
        "text/csv",
        "application/json",
        "application/ld+json",
        "image/jpeg",
        "image/gif",
        "image/png",
        "image/apng",
        "image/webp",
        "image/avif",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "video/quicktime",
        "audio/mp4",
        "audio/webm",
        "audio/aac",
        "audio/mpeg",
        "audio/ogg",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/flac",
        "audio/x-flac",
    }
)


class File(Struct, frozen=True):
    """Bytes with their type."""

    content_type: str
    content: bytes


class Media(Struct, frozen=True, kw_only=True):
    """What a media ID stands for."""

    media_id: str
    file: File
    filename: str | None = None
    location: str | None = None
    """A URL that is served in place of the bytes."""

    thumbnail: File | None = None

    @property
    def length(self) -> int:
        """How many bytes it takes."""
        return len(self.file.content) + (
            0 if self.thumbnail is None else len(self.thumbnail.content)
        )

    def reply(self) -> Reply:
        """What a download is answered with."""
        if self.location is not None:
            return _reply([f"Location: {self.location}"], b"")
        kind = "inline" if self.file.content_type in _SHOWN else "attachment"
        return _file_reply(self.file, f"{kind}{_named(self.filename)}")

    def thumbnail_reply(self) -> Reply | None:
        """What a thumbnail is answered with; None if there is none."""
        if self.thumbnail is not None:
            return _file_reply(self.thumbnail, "inline")
        if self.location is not None or self.file.content_type.startswith("image/"):
            return self.reply()
        return None


class MediaShelf:
    """The media of one of our servers, in the order in which they were defined."""

    def __init__(self) -> None:
        self._media: dict[str, Media] = {}

    def __iter__(self) -> Iterator[Media]:
        return iter([*self._media.values()])

    def put(self, media: Media) -> None:
        """Define media, in place of those of the same ID; raises `TooLarge`."""
        others = [x for x in self._media.values() if x.media_id != media.media_id]
        if sum(each.length for each in others) + media.length > MAX_BYTES:
            raise TooLarge(
                f"the media of a server have at most {MAX_BYTES} bytes; delete some"
            )
        self._media[media.media_id] = media

    def known(self, media_id: str) -> Media:
        """The media of an ID; raises `NotFound`."""
        found = self._media.get(media_id)
        if found is None:
            raise NotFound(f"there are no media {quote(media_id)} here")
        return found

    def remove(self, media_id: str) -> None:
        """Let media end; raises `NotFound`."""
        del self._media[self.known(media_id).media_id]


def _named(filename: str | None) -> str:
    """The parameter with the name of a file (RFC 6266, RFC 8187)."""
    if filename is None:
        return ""
    if filename.isascii() and filename.isprintable() and not set(filename) & {*'"\\'}:
        return f'; filename="{filename}"'
    return f"; filename*=utf-8''{percent_encode(filename, safe='')}"


def _file_reply(file: File, disposition: str) -> Reply:
    headers = [
        f"Content-Type: {file.content_type}",
        f"Content-Disposition: {disposition}",
    ]
    return _reply(headers, file.content)


def _reply(headers: list[str], content: bytes) -> Reply:
    # No content has the hash of itself in it, so none has the boundary.
    boundary = sha256(content).hexdigest()
    lines = [
        f"--{boundary}",
        "Content-Type: application/json",
        "",
        "{}",
        f"--{boundary}",
        *headers,
        "",
        "",
    ]
    body = "\r\n".join(lines).encode("ascii") + content
    return Reply(
        body + f"\r\n--{boundary}--\r\n".encode("ascii"),
        headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
    )
