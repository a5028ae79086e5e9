"""What is signed of a request, where that differs from what is sent.

Rules: an unknown member is refused where the shape is read.

Specification: Server-server API, "Request Authentication".
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.shapes import not_one_of

_SIGNED_MEMBERS = ("method", "uri", "origin", "destination", "content")


class SignBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed, where it differs from what is sent."""

    method: str | UnsetType = UNSET
    uri: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    destination: str | UnsetType = UNSET
    content: object = UNSET
    key_id: Annotated[
        str | UnsetType,
        Meta(description="The ID that the header names; the first key signs for it."),
    ] = UNSET
    omit: Annotated[
        list[str],
        Meta(description="Members left out of the signed object."),
    ] = []

    def check(self) -> None:
        """Raise `InvalidParam` for a member that nothing signs."""
        for each in self.omit:
            if each not in _SIGNED_MEMBERS:
                raise InvalidParam(
                    "`sign.omit` has " + not_one_of(each, _SIGNED_MEMBERS)
                )
