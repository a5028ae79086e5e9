"""A request before it is sent: what is signed, and what goes over the wire.

Rules: the two are kept apart, so each can be changed alone. What is signed is fixed by
`sign`; a change after it is one that the signature does not know of.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote as percent_encode

from twisted.web.http_headers import Headers

from homeserver.identity.identity import Identity
from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import EventId, KeyId
from homeserver.protocol.signing import SigningKey


@dataclass(slots=True)
class Draft:
    """A request that is being written."""

    identity: Identity
    spare_key: Callable[[KeyId], SigningKey]
    """The key that the server has for any ID, whether or not it publishes it."""

    method: str
    target: str
    headers: Headers
    content: object
    """The JSON of the body; `UNSET` without a body."""

    body: bytes | None
    signed: Json | None
    """The signed object; None for a request without a signature."""

    keys: list[SigningKey]
    parameters: list[dict[str, str]] = field(default_factory=list)
    """Those of each X-Matrix header, in their order."""

    header: str | None = None
    """In place of the X-Matrix headers."""

    host: str | None = None
    """In place of the `Host` of the route."""

    sni: str | None = None
    """In place of the name in SNI that the route has."""

    is_repeated: bool = False
    """Whether it is sent twice."""

    wrong_ids: set[EventId] = field(default_factory=set)
    """The IDs under which no right server accepts a PDU."""

    literals: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """Places of the body with what is sent there and what is signed there."""

    def must_be_signed(self, name: str) -> Json:
        """The signed object; raises `InvalidParam` for a request without one."""
        if self.signed is None:
            raise InvalidParam(
                f"`spoil`: {quote(name)} needs a signature, and this request has none"
            )
        return self.signed

    def must_have_object(self, name: str) -> Json:
        """The content; raises `InvalidParam` where it is no JSON object."""
        if not isinstance(self.content, dict):
            raise InvalidParam(
                f"`spoil`: {quote(name)} needs a `content` that is an object"
            )
        return self.content

    def must_have_pdu(self, name: str) -> Json:
        """The first PDU; raises `InvalidParam` where there is none."""
        pdus = self.must_have_object(name).get("pdus")
        if not isinstance(pdus, list) or not pdus or not isinstance(pdus[0], dict):
            raise InvalidParam(f"`spoil`: {quote(name)} needs a PDU in `pdus`")
        return pdus[0]

    def replace_first(self, member: str, item: Json) -> None:
        """Send another PDU or EDU in place of the first one, and sign it."""
        content = self.must_have_object(member)
        items = content.get(member)
        rest = items[1:] if isinstance(items, list) else []
        self.replace_content({**content, member: [item, *rest]})

    def replace_content(self, content: Json) -> None:
        """Send other JSON, and sign it."""
        self.content = content
        self.body = encode(content)
        if self.signed is not None:
            self.signed["content"] = content

    def replace_last_step(self, step: str) -> None:
        """Send to a path with another last step, and sign it."""
        start, _, _ = self.target.partition("?")[0].rpartition("/")
        self.target = f"{start}/{percent_encode(step, safe='')}"
        if self.signed is not None:
            self.signed["uri"] = self.target

    def add_literal(self, name: str, sent: bytes, signed: bytes) -> None:
        """Add a member whose value is no JSON that could be written."""
        member = f"spoiled.{name}"
        content = self.must_have_object(name)
        self.replace_content({**content, member: member})
        place = b'"%b":' % member.encode("ascii")
        quoted = b'"%b"' % member.encode("ascii")
        self.literals.append((place + quoted, place + sent, place + signed))

    def sign(self) -> None:
        """Sign, and write the literals into the body."""
        if self.signed is not None:
            message = encode(self.signed)
            for place, _, signed in self.literals:
                message = message.replace(place, signed)
            self.parameters = [self._parameters(key, message) for key in self.keys]
        for place, sent, _ in self.literals:
            self.body = None if self.body is None else self.body.replace(place, sent)

    def authorizations(self) -> list[str]:
        """The values of the `Authorization` headers."""
        if self.header is not None:
            return [self.header]
        return [
            "X-Matrix " + ",".join(f'{name}="{value}"' for name, value in each.items())
            for each in self.parameters
        ]

    def _parameters(self, key: SigningKey, message: bytes) -> dict[str, str]:
        signed = self.signed or {}
        shown: dict[str, str] = {
            name: str(signed[name])
            for name in ("origin", "destination")
            if name in signed
        }
        signature = encode_base64(key.sign(message))
        return {**shown, "key": key.key_id, "sig": signature}
