"""A federation request as the signed object: build, sign, parse, verify.

Rules: `uri` is the request target exactly as on the wire, never rebuilt from decoded
parts. Origin and destination are the server names before delegation. The signature
covers the method, the target, both names and the body; it does *not* cover headers,
and it contains neither a nonce nor a time.

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

MAX_HEADER_LENGTH = 2048  # two server names, a key ID, a signature: up to 700

# ASCII, as case folding in Python equates the dotless i (U+0131) with i.
_SCHEME = re.compile(r"X-Matrix +[ \t,]*", re.IGNORECASE | re.ASCII)

# RFC 9110, sections 5.6 and 11.2: a token or a quoted-string, with optional whitespace
# around the equals sign. Unquoted values may also contain colons and brackets, as peers
# send `origin=host:8448` and `origin=[::1]:8448`. What separates a parameter from the
# next one goes with it; section 5.6.1.2: "a recipient MUST parse and ignore [...] empty
# list elements".
_PARAMETER = re.compile(
    r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+) [ \t]*=[ \t]*
        (?: "( (?: [^"\\] | \\. )*+ )"
          | ( [][!#$%&'*+.^_`|~0-9A-Za-z:-]+ ) )
        ([ \t,]*)
        """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Authorization(Struct, frozen=True):
    """The parameters of one X-Matrix header, not verified."""

    origin: ServerName
    destination: ServerName | None
    """None if it is missing, as from peers older than v1.3 of the specification."""

    key_id: KeyId
    signature: bytes
    """64 bytes."""

    @classmethod
    def parse(cls, header: str) -> "Authorization":
        """Parse the value of an `Authorization` header; raises `BadAuthorization`."""
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
        """The value of the header, in the form that all peers understand."""
        parameters = [("origin", self.origin.name)]
        if self.destination is not None:
            parameters.append(("destination", self.destination.name))
        parameters += [("key", self.key_id), ("sig", encode_base64(self.signature))]
        return "X-Matrix " + ",".join(f'{n}="{value}"' for n, value in parameters)


class FederationRequest(Struct, frozen=True):
    """One request, both for signing and for verifying."""

    method: str
    uri: str
    """The path and query as sent, with all percent-escapes."""

    origin: ServerName
    destination: ServerName
    content: Json | Encoded | None = None
    """The body; None without a body, which differs from `{}`."""

    def sign(self, keys: Iterable[SigningKey]) -> list[Authorization]:
        """One authorization for each key, each for a header of its own."""
        message = self.signed_bytes()
        return [
            Authorization(self.origin, self.destination, key.key_id, key.sign(message))
            for key in keys
        ]

    def verify(
        self, authorizations: Sequence[Authorization], keys: Mapping[KeyId, VerifyKey]
    ) -> KeyId:
        """The ID of the first key whose signature in `authorizations` verifies.

        Raises `Unauthorized` if none does.
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
        """The signed bytes: canonical JSON of the object in the specification."""
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
    # A malformed header is not quoted in the error, as it may contain a secret.
    scheme = _SCHEME.match(header)
    if scheme is None or len(header) > MAX_HEADER_LENGTH:
        raise BadAuthorization(
            f"the Authorization header, of {len(header)} characters, is not X-Matrix, "
            f"or longer than {MAX_HEADER_LENGTH}"
        )
    parameters: dict[str, str] = {}
    position = scheme.end()
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is None:
            raise BadAuthorization(
                f"the X-Matrix header is not a list of name=value at its character "
                f"{position}, counted from 0"
            )
        name, quoted, token, separator = parameter.groups()
        name = name.lower()
        if name in parameters:
            raise BadAuthorization(f"the X-Matrix header has {quote(name)} twice")
        if quoted is not None and "\\" in quoted:
            quoted = _ESCAPE.sub(r"\1", quoted)
        parameters[name] = token if quoted is None else quoted
        position = parameter.end()
        if position < len(header) and "," not in separator:
            raise BadAuthorization(
                f"the X-Matrix header has no comma after {quote(name)}"
            )
    return parameters
