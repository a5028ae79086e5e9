"""One federation request as the thing that is signed: build, sign, read, verify.

Rules of the room: `uri` is the request target exactly as it is on the wire, never
rebuilt from decoded parts. Origin and destination are server names as they were
before delegation. The signature covers method, target, both names and the body; it
does *not* cover the headers, and nothing in it is a nonce or a time.

Specification: Server-server API, "Request Authentication".
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import (
    Encoded,
    Json,
    decode_base64,
    encode,
    encode_base64,
    encode_integers,
)
from homeserver.protocol.errors import (
    BadAuthorization,
    ProtocolError,
    Unauthorized,
    quote,
)
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import SIGNATURE_BYTES, SigningKey, VerifyKey

MAX_HEADER_LENGTH = 2048  # two server names, a key ID and a signature take 700

# ASCII, because Python's folding takes a dotless i (U+0131) for an i.
_SCHEME = re.compile(r"X-Matrix +", re.IGNORECASE | re.ASCII)

# RFC 9110, sections 5.6 and 11.2: a token or a quoted-string, with blanks round the
# equals sign. Unquoted values may hold colons and brackets as well: peers have always
# sent `origin=host:8448` and `origin=[::1]:8448` so.
_PARAMETER = re.compile(
    r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+) [ \t]*=[ \t]*
        (?: "( (?: [^"\\] | \\. )*+ )"
          | ( [][!#$%&'*+.^_`|~0-9A-Za-z:-]+ ) )
        """,
    re.VERBOSE | re.DOTALL,
)
# Section 5.6.1.2: "a recipient MUST parse and ignore [...] empty list elements".
_SEPARATOR = re.compile(r"[ \t,]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Authorization(Struct, frozen=True):
    """What one X-Matrix header claims; nothing in it is proven yet."""

    origin: ServerName
    destination: ServerName | None
    """None where a peer of before v1.3 of the specification left it out."""

    key_id: KeyId
    signature: bytes
    """64 bytes."""

    @classmethod
    def parse(cls, header: str) -> "Authorization":
        """Read the value of an `Authorization` header.

        Raises `BadAuthorization`, which says what is wrong with it.
        """
        parameters = _parse_parameters(header)
        missing = [n for n in ("origin", "key", "sig") if n not in parameters]
        if missing:
            raise BadAuthorization(f"the X-Matrix header has no {', '.join(missing)}")
        try:
            origin = ServerName.parse(parameters["origin"])
            destination = None
            if "destination" in parameters:
                destination = ServerName.parse(parameters["destination"])
            key_id = parse_key_id(parameters["key"])
            signature = decode_base64(parameters["sig"])
        except ProtocolError as error:
            raise BadAuthorization(f"in the X-Matrix header: {error}") from None
        if len(signature) != SIGNATURE_BYTES:
            raise BadAuthorization(
                f"the X-Matrix header's sig has {len(signature)} bytes; ed25519 "
                f"signatures have {SIGNATURE_BYTES}"
            )
        return cls(origin, destination, key_id, signature)

    def __str__(self) -> str:
        """The header's value, in the one form that every peer understands."""
        parameters = [("origin", self.origin.name)]
        if self.destination is not None:
            parameters.append(("destination", self.destination.name))
        parameters += [("key", self.key_id), ("sig", encode_base64(self.signature))]
        return "X-Matrix " + ",".join(f'{n}="{value}"' for n, value in parameters)


class FederationRequest(Struct, frozen=True):
    """One request, for signing and for checking alike."""

    method: str
    uri: str
    """From `/_matrix` on, with the query and every percent-escape."""

    origin: ServerName
    destination: ServerName
    content: Json | Encoded | None = None
    """The body; None if there is none, which is not the same as `{}`."""

    def sign(self, keys: Iterable[SigningKey]) -> list[Authorization]:
        """One authorization for each key; each goes in a header of its own."""
        message = self.signed_bytes()
        return [
            Authorization(self.origin, self.destination, key.key_id, key.sign(message))
            for key in keys
        ]

    def verify(
        self, authorizations: Sequence[Authorization], keys: Mapping[KeyId, VerifyKey]
    ) -> KeyId:
        """The first key that made the signature that one of `authorizations` has.

        Raises `Unauthorized`, if there is none.
        """
        message = self.signed_bytes()
        tried = [each for each in authorizations if each.key_id in keys]
        for each in tried:
            if keys[each.key_id].verify(message, each.signature):
                return each.key_id
        body = "no body" if self.content is None else "the body as received"
        key_ids = ", ".join(each.key_id for each in tried)
        raise Unauthorized(
            f"signature does not verify: {key_ids} of {self.origin} over "
            f"{self.method} {quote(self.uri)} to {self.destination}, with {body}"
        )

    def signed_bytes(self) -> bytes:
        """Canonical JSON of the object that the specification has servers sign."""
        signed: Json = {
            "method": self.method,
            "uri": self.uri,
            "origin": self.origin.name,
            "destination": self.destination.name,
        }
        if self.content is not None:
            signed["content"] = self.content
        if isinstance(self.content, Encoded):
            return encode_integers(signed)
        return encode(signed)


def _parse_parameters(header: str) -> dict[str, str]:
    # Nothing of a header that cannot be read is said again: it may be anybody's secret.
    scheme = _SCHEME.match(header)
    if scheme is None or len(header) > MAX_HEADER_LENGTH:
        raise BadAuthorization(
            f"the Authorization header, of {len(header)} characters, is not X-Matrix, "
            f"or longer than {MAX_HEADER_LENGTH}"
        )
    parameters: dict[str, str] = {}
    position = _skip_separator(header, scheme.end())
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is None:
            raise BadAuthorization(
                f"the X-Matrix header is not a list of name=value at its character "
                f"{position}, counted from 0"
            )
        name, quoted, token = parameter.groups()
        name = name.lower()
        if name in parameters:
            raise BadAuthorization(f"the X-Matrix header has {quote(name)} twice")
        if quoted is not None and "\\" in quoted:
            quoted = _ESCAPE.sub(r"\1", quoted)
        parameters[name] = token if quoted is None else quoted
        position = _skip_separator(header, parameter.end())
        if position < len(header) and "," not in header[parameter.end() : position]:
            raise BadAuthorization(
                f"the X-Matrix header has no comma after {quote(name)}"
            )
    return parameters


def _skip_separator(header: str, position: int) -> int:
    """Where the next element of the list begins, past blanks and empty elements."""
    separator = _SEPARATOR.match(header, position)
    return position if separator is None else separator.end()
