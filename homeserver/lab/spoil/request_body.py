"""A request to send, as the control API has it.

Rules: shapes, and the draft that they stand for. An unknown member is refused where
they are read.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from twisted.web.http_headers import Headers

from homeserver.control.signed_parts import SignBody
from homeserver.control.views import MAX_SPOILS
from homeserver.identity.identity import Identity
from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.spoils import SPOILS
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import SigningKey

MAX_SECONDS = 600.0  # as long as any other wait of the lab

# The paths that no signature is for, unless `sign` is given.
_UNSIGNED = ("/_matrix/key/", "/.well-known/")


class RequestBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to send."""

    destination: Annotated[str, Meta(description="A server name.")]
    path: Annotated[
        str,
        Meta(pattern=r"^/[!-~]*$", description="A path: `/` and ASCII without spaces."),
    ]
    method: Annotated[
        str, Meta(pattern=r"^[A-Z]{1,20}$", description="A word in capitals.")
    ] = "GET"
    query: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]*$", description="ASCII without spaces.")]
        | None,
        Meta(description="Without the `?`."),
    ] = None
    content: Annotated[object, Meta(description="The JSON of the body.")] = UNSET
    headers: Annotated[
        dict[str, str],
        Meta(description="Added, or in place of those of the same name."),
    ] = {}
    timeout: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 30.0
    sign: Annotated[
        SignBody | UnsetType | None,
        Meta(description="Null: no signature. By default, key documents have none."),
    ] = UNSET

    spoil: Annotated[
        list[str],
        Meta(
            max_length=MAX_SPOILS,
            description="Mistakes that it has on purpose: "
            + "; ".join(
                f"`{each.usage(name)}`: {each.summary}" for name, each in SPOILS.items()
            ),
        ),
    ] = []

    @property
    def target(self) -> str:
        """The path with the query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def draft(
        self, identity: Identity, spare_key: Callable[[KeyId], SigningKey]
    ) -> Draft:
        """The request as `sign` has it, without mistakes; raises `InvalidParam`."""
        headers = Headers()
        for name, value in self.headers.items():
            _set_header(headers, name, value)
        hosts = headers.getRawHeaders("Host")
        sign = self.sign
        if isinstance(sign, UnsetType):
            sign = None if self.path.startswith(_UNSIGNED) else SignBody()
        keys = list(identity.signing_keys)
        if sign is not None and not isinstance(sign.key_id, UnsetType):
            keys = [_named(keys, sign.key_id)]
        return Draft(
            identity=identity,
            spare_key=spare_key,
            method=self.method,
            target=self.target,
            headers=headers,
            content=self.content,
            body=None if self.content is UNSET else encode(self.content),
            signed=None if sign is None else self._signed(sign, identity),
            keys=keys,
            host=hosts[0] if hosts else None,
        )

    def _signed(self, sign: SignBody, identity: Identity) -> Json:
        sign.check()
        signed: Json = {
            "method": _or(sign.method, self.method),
            "uri": _or(sign.uri, self.target),
            "origin": _or(sign.origin, identity.server_name.name),
            "destination": _or(
                sign.destination, ServerName.parse(self.destination).name
            ),
        }
        content = _or(sign.content, self.content)
        if content is not UNSET:
            signed["content"] = content
        for each in sign.omit:
            signed.pop(each, None)
        return signed


def _set_header(headers: Headers, name: str, value: str) -> None:
    if not name.isascii() or not value.isprintable():
        raise InvalidParam(f"`headers`: {quote(name)} cannot be sent")
    try:
        headers.setRawHeaders(name, [value])
    except ValueError:
        raise InvalidParam(f"`headers`: {quote(name)} is not a header") from None


def _named(keys: Sequence[SigningKey], text: str) -> SigningKey:
    """The key of an ID, or the first key under a foreign one."""
    key_id = parse_key_id(text)
    for key in keys:
        if key.key_id == key_id:
            return key
    return SigningKey(key_id, keys[0].key)


def _or(value: object, default: object) -> object:
    return default if value is UNSET else value
