"""A hint: one sentence on what a peer has to change, with both texts.

Rules: the codes are stable; `CODES` lists them all. `text` never contains text of a
peer; `received` and `expected` may, shortened and unescaped.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from homeserver.protocol.errors import quote

MAX_TEXT = 500  # characters of `received` and of `expected`; an event has about 700

_CONTEXT = 60  # characters before the first difference, where a text is shortened
_MAX_QUOTED = 200  # characters of a text within an error message


class Hint(Struct, frozen=True, omit_defaults=True):
    """What a peer has to change."""

    code: str
    """One of `CODES`."""

    text: str
    """One sentence, which ends without a full stop."""

    received: str | None = None
    """The part as the peer signed, hashed or sent it."""

    expected: str | None = None
    """The same part as it should be."""

    @property
    def sentence(self) -> str:
        """The sentence with both texts, safe to show in an error message."""
        said = self.text
        if self.received is not None:
            said += f": it has {quote(self.received, _MAX_QUOTED)}"
        if self.expected is not None:
            link = ", and should have " if self.received is not None else ": expected "
            said += f"{link}{quote(self.expected, _MAX_QUOTED)}"
        return said


def compared(code: str, text: str, received: str, expected: str) -> Hint:
    """A hint with two texts, shortened around the first difference."""
    start = 0
    if max(len(received), len(expected)) > MAX_TEXT:
        start = max(0, _first_difference(received, expected) - _CONTEXT)
    return Hint(code, text, clip(received, start), clip(expected, start))


def clip(text: str, start: int = 0) -> str:
    """At most `MAX_TEXT` characters of `text`, from `start` on."""
    before = "..." if start else ""
    end = start + MAX_TEXT - len(before)
    if len(text) <= end:
        return before + text[start:]
    return f"{before}{text[start : end - 3]}..."


def _first_difference(one: str, other: str) -> int:
    # By halves: equal prefixes are compared at the speed of memory.
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def as_sentence(hints: Iterable[Hint]) -> str:
    """The hints as the end of an error message; empty without any."""
    return "".join(f"; hint: {hint.sentence}" for hint in hints)


CODES: Mapping[str, str] = {
    # The request's signature: which part of the signed object differs.
    "uri-decoded": "`uri` was signed with its percent-escapes decoded",
    "uri-escapes": "`uri` was signed with other percent-escapes than were sent",
    "uri-query": "`uri` was signed without its query, or with another form of it",
    "uri-slash": "`uri` was signed with another number of slashes",
    "uri-url": "the whole URL was signed as `uri`",
    "uri-prefix": "`uri` was signed without the beginning of its path",
    "uri-missing": "the signed object has no `uri`",
    "method": "another `method` was signed",
    "destination": "another `destination` was signed",
    "destination-missing": "the signed object has no `destination`",
    "origin": "another `origin` was signed",
    "origin-missing": "the signed object has no `origin`",
    "names-exchanged": "`origin` and `destination` were exchanged",
    "content-missing": "the body was not signed",
    "content-without-body": "`content` was signed, but no body was sent",
    "content-empty": "`{}` or null was signed as `content`",
    "content-string": "the body was signed as a string",
    "content-as-sent": "the bytes of the body were signed instead of canonical JSON",
    "content-members": "members of the body were left out of `content`",
    "content-numbers": "numbers were changed before signing",
    "content-alone": "the body alone was signed, not the request",
    "extra-member": "the signed object has a member too many",
    "json-spaces": "the signed JSON has white space",
    "json-unsorted": "the members of the signed JSON are not sorted",
    "json-escapes": "the signed JSON has escapes that canonical JSON does not have",
    "json-newline": "a line feed follows the signed JSON",
    "digest-signed": "a digest was signed instead of the JSON",
    # Any signature: the key.
    "key-id": "the signature is by another key than it names",
    "key-replaced": "the server has another key under this ID now",
    "key-expired": "the signature is by a key that has expired",
    "key-old": "the signature is by a key that its server lists as old",
    "key-is-seed": "the published key is the private seed",
    "signature-unknown": "no known mistake explains the signature",
    # The X-Matrix header.
    "header-scheme": "the Authorization header has another scheme than X-Matrix",
    "header-separator": "the parameters of the header are not separated by commas",
    "header-missing": "there is no X-Matrix header, or it lacks a parameter",
    "key-id-algorithm": "the key ID has no algorithm",
    "name-url": "a URL stands where a server name should",
    "name-user": "a user ID stands where a server name should",
    "name-case": "a server name differs in its capitals",
    "name-port": "a server name differs in its port",
    "name-delegated": "the destination is the name after delegation",
    "name-other": "the destination is another server",
    "base64-urlsafe": "base64 is in the URL-safe alphabet",
    "base64-hex": "a text is hexadecimal instead of base64",
    "base64-invalid": "a text has a character that is not base64",
    "signature-with-message": "the signature is followed by the signed message",
    # Events.
    "event-format": "the event lacks what its room version demands",
    "event-version": "the event has the format of another room version",
    "event-redaction": "the event was redacted by the rules of another room version",
    "event-unredacted": "the event was not redacted before it was signed or hashed",
    "event-member-in": "a member was signed or hashed that should be left out",
    "event-member-out": "a member was left out that should be signed or hashed",
    "signer-missing": "the event has no signature of a server that must sign it",
    "hash-member-in": "the content hash covers a member that it should not",
    "hash-member-out": "the content hash leaves a member out",
    "hash-redacted": "the content hash is over the redacted event",
    "hash-unknown": "no known mistake explains the content hash",
    "id-alphabet": "the event ID is in the other alphabet of base64",
    "id-padded": "the event ID has padding",
    "id-of-content": "the event ID is the content hash",
    "id-unknown": "no known mistake explains the event ID",
    # Key documents.
    "document-json": "the key document is not JSON that can be read",
    "document-name": "the key document is of another server",
    "document-member": "a member of the key document is missing or invalid",
    "document-key": "a key of the document is ignored",
    "document-member-in": "a member was signed that should be left out",
    "document-member-out": "a member was left out that should be signed",
    "document-expired": "the key document has expired",
    "document-seconds": "a time is in seconds instead of milliseconds",
    "document-unsigned": "the document has no signature by a key that it lists",
    "document-certificate": "the document has another certificate than the connection",
    # Discovery.
    "well-known-invalid": "the well-known document delegates to no server",
    "srv-deprecated": "the SRV record is of the deprecated service alone",
    "srv-unusable": "an SRV record has no host name as its target, or port 0",
    "srv-alias": "the target of an SRV record is an alias",
    "srv-no-service": "the SRV record says that there is no homeserver",
    "dns-no-answer": "the DNS gave no definite answer",
    "no-address": "a host has no address",
    "address-refused": "every address of a host is in a range that is refused",
}
"""{code: what it means}, of every hint."""
