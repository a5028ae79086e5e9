"""The mistakes that a request can have on purpose.

Rules: a mistake is of one kind: `before` changes what is signed, `after` changes what
is sent. The rest of the request stays right, so a server that refuses it has found
this mistake.

Specification: Server-server API, "Request Authentication" and "Transactions";
Appendices, "Canonical JSON".
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeserver.lab.spoil import changes, invites, items
from homeserver.lab.spoil.changes import OTHER_KEY, Change, nothing
from homeserver.lab.spoil.draft import Draft
from homeserver.lab.spoil.right import (
    Right,
    malformed,
    of_one_item,
    tolerated,
    unsigned,
)
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.shapes import not_one_of


class Spoil(Struct, frozen=True):
    """One kind of mistake."""

    summary: str
    right: Right
    before: Change = nothing
    after: Change = nothing
    argument: str | None = None
    """What the text after the colon is; None for a mistake without one."""

    def usage(self, name: str) -> str:
        """How requests write it."""
        return name if self.argument is None else f"{name}:{self.argument.upper()}"


_NOT_VERIFIED = unsigned("the signature does not verify.")
_NO_KEY = unsigned("the origin has no such key that is valid now.")
_NOT_CANONICAL = tolerated("it may refuse a number that canonical JSON does not have.")
_NO_INVITE = malformed("it signs no such invite.", 400, 403)
_TOO_MANY = malformed("a transaction has at most 50 PDUs and 100 EDUs.", 400, 413)

SPOILS: Mapping[str, Spoil] = {
    "signature": Spoil(
        "The signature has another first character.",
        _NOT_VERIFIED,
        after=changes.flip_signature,
    ),
    "destination": Spoil(
        "The request is signed for another destination, which the header names.",
        unsigned("the request is for another server."),
        before=changes.sign_other(
            "destination", "destination", lambda _: changes.OTHER_SERVER
        ),
    ),
    "origin": Spoil(
        "The request is signed for another origin, which the header names.",
        unsigned("no key of the origin can be found."),
        before=changes.sign_other("origin", "origin", lambda _: changes.OTHER_SERVER),
    ),
    "key-id": Spoil(
        "The header names a key that the origin does not have.",
        _NO_KEY,
        after=changes.name_other_key,
    ),
    "path": Spoil(
        "The signature is over another path.",
        _NOT_VERIFIED,
        before=changes.sign_other(
            "path", "uri", lambda signed: f"{signed.get('uri', '')}x"
        ),
    ),
    "method": Spoil(
        "The signature is over another method.",
        _NOT_VERIFIED,
        before=changes.sign_other("method", "method", changes.other_method),
    ),
    "content": Spoil(
        "The signature is over another content.",
        _NOT_VERIFIED,
        before=changes.sign_other("content", "content", lambda _: {"spoiled": True}),
    ),
    "no-auth": Spoil(
        "There is no `Authorization` header.",
        unsigned("nothing proves the origin."),
        after=changes.drop_signature,
    ),
    "no-destination": Spoil(
        "The header does not name the destination, which is signed.",
        Right(
            "A right server admits the request: servers older than v1.3 of the "
            "specification do not name the destination.",
            [each for each in range(200, 500) if each not in {401, 403}],
            is_refusal=False,
        ),
        after=changes.drop_destination,
    ),
    "header": Spoil(
        "The `Authorization` header is this text.",
        malformed("the header is not that of a signature.", 400, 401, 403),
        after=changes.replace_header,
        argument="text",
    ),
    "expired-key": Spoil(
        "The request is signed with an old key of the key document.",
        _NO_KEY,
        before=changes.sign_with("expired-key", changes.expired_key),
    ),
    "old-key": Spoil(
        "The request is signed with a key that no key document has any more.",
        _NO_KEY,
        before=changes.sign_with("old-key", lambda draft: draft.spare_key(OTHER_KEY)),
    ),
    "other-key-same-id": Spoil(
        "The request is signed with another key under the ID of the right one.",
        _NOT_VERIFIED,
        before=changes.sign_with("other-key-same-id", changes.other_key),
    ),
    "replay": Spoil(
        "The request is sent twice with the same bytes; the result is the second.",
        tolerated("a signature has no time, and a transaction may come again."),
        before=changes.repeat,
    ),
    "host": Spoil(
        "The `Host` header is this text.",
        tolerated("`Host` may name any of its servers, or none."),
        before=changes.set_host,
        argument="text",
    ),
    "sni": Spoil(
        "The TLS handshake names this host (SNI).",
        tolerated("it may refuse the handshake, or show any of its certificates."),
        before=changes.set_sni,
        argument="text",
    ),
    "raw": Spoil(
        "The body is these bytes; the signature stays over `content`.",
        Right("What is right depends on the bytes.", None),
        after=changes.replace_body,
        argument="base64",
    ),
    "float": Spoil(
        "The content has a number with a fraction.",
        _NOT_CANONICAL,
        before=changes.add_literal("float", b"1.5"),
    ),
    "big-integer": Spoil(
        "The content has the integer 2^60.",
        _NOT_CANONICAL,
        before=changes.add_literal("big-integer", str(2**60).encode()),
    ),
    "duplicate-member": Spoil(
        "The content has a member twice; the second one is signed.",
        tolerated("JSON does not say which one counts."),
        before=changes.add_literal(
            "duplicate-member", b'1,"spoiled.duplicate-member":2', b"2"
        ),
    ),
    "invalid-utf8": Spoil(
        "The content has a string with a byte that no UTF-8 has.",
        malformed("the body is not JSON.", 400, 401, 403),
        before=changes.add_literal("invalid-utf8", b'"\xff"'),
    ),
    "depth": Spoil(
        f"The content has {changes.NESTING} lists, each in the next one.",
        tolerated("it may refuse so deep a body, but goes on."),
        before=changes.add_literal(
            "depth", b"[" * changes.NESTING + b"]" * changes.NESTING
        ),
    ),
    "pdus": Spoil(
        "The content has this number of PDUs: copies of its first one, or `{}`.",
        _TOO_MANY,
        before=changes.add_many("pdus", {}, 51),
        argument="number",
    ),
    "edus": Spoil(
        "The content has this number of EDUs: copies of its first one, or one of no "
        "type.",
        _TOO_MANY,
        before=changes.add_many("edus", {"edu_type": "spoiled", "content": {}}, 101),
        argument="number",
    ),
    "pdu-signature": Spoil(
        "The signature of the first PDU has another first character.",
        of_one_item("refuses the PDU, which is not signed.", refuses_pdu=True),
        before=items.flip_signature,
    ),
    "pdu-hash": Spoil(
        "The first PDU is signed with a content hash that is not its own.",
        of_one_item("redacts the PDU, or refuses it."),
        before=items.replace_hash,
    ),
    "pdu-event-id": Spoil(
        "The first PDU has an `event_id` that is not its own.",
        of_one_item("accepts nothing under that ID.", refuses_pdu=True),
        before=items.add_event_id,
    ),
    "pdu-size": Spoil(
        "The first PDU has more than 65,536 bytes.",
        of_one_item(
            "refuses the PDU, or answers 400 or 413.", 400, 413, refuses_pdu=True
        ),
        before=items.enlarge,
    ),
    "pdu-room-version": Spoil(
        "The first PDU cites events in the format of another room version.",
        of_one_item(
            "refuses the PDU, whose references it cannot read.", refuses_pdu=True
        ),
        before=items.change_format,
    ),
    "edu-sender": Spoil(
        "The first EDU is of a user of another server.",
        of_one_item("ignores the EDU."),
        before=items.name_other_user,
    ),
    "edu-shape": Spoil(
        "The first EDU has an `edu_type` and a `content` of other types.",
        tolerated("it may ignore the EDU, or refuse the transaction."),
        before=items.break_edu,
    ),
    "invite-membership": Spoil(
        "The event of the invite is a join.", _NO_INVITE, before=invites.send_join
    ),
    "invite-state-key": Spoil(
        "The event invites a user of another server.",
        _NO_INVITE,
        before=invites.invite_stranger,
    ),
    "invite-event-id": Spoil(
        "The path of the invite has the ID of another event.",
        _NO_INVITE,
        before=invites.name_other_id,
    ),
    "invite-room-version": Spoil(
        "`room_version` is one whose events have another form.",
        _NO_INVITE,
        before=invites.name_other_version,
    ),
    "invite-no-create": Spoil(
        "`invite_room_state`, of a room of version 12, lacks the create event.",
        _NO_INVITE,
        before=invites.drop_create,
    ),
    "invite-other-room": Spoil(
        "`invite_room_state`, of a room of version 12, has the create event of another "
        "room.",
        _NO_INVITE,
        before=invites.change_create,
    ),
}
"""By the names that requests use."""


def spoil(draft: Draft, texts: Sequence[str]) -> list[Right]:
    """Sign a draft with these mistakes; raises `InvalidParam` for an unknown one.

    Returns what a right server does about each of them.
    """
    told = [_parse(text) for text in texts]
    for each, argument in told:
        each.before(draft, argument)
    draft.sign()
    for each, argument in told:
        each.after(draft, argument)
    return [each.right for each, _ in told]


def _parse(text: str) -> tuple[Spoil, str]:
    name, colon, argument = text.partition(":")
    found = SPOILS.get(name)
    if found is None:
        raise InvalidParam("`spoil` has " + not_one_of(name, SPOILS))
    if found.argument is None and colon:
        raise InvalidParam(f"`spoil`: {quote(name)} has no argument")
    if found.argument is not None and not argument:
        raise InvalidParam(
            f"`spoil`: {quote(name)} needs a {found.argument}, as in "
            f"{found.usage(name)}"
        )
    return found, argument
