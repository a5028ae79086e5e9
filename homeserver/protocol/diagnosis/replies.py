"""How a destination came to the event IDs in its reply to a transaction.

Rules: one PDU that the reply does not name is looked at, beside the first names that
were not sent: who computes one ID wrongly computes them all so.
"""

from collections.abc import Collection, Sequence
from itertools import islice

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.event_ids import diagnose_event_id
from homeserver.protocol.errors import quote
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import Remark
from homeserver.protocol.slices import Steps

_MAX_NAMES = 2

# One for each way to compute an ID of today; a PDU does not name its version.
_VERSIONS = [ROOM_VERSIONS[name] for name in ("12", "10")]

# No explanation, or one that another room version explains as well.
_NO_ANSWER = frozenset({"id-unknown", "event-format", "event-redaction"})


def diagnose_reply(
    pdu: Json, found: Sequence[EventId | None], answered: Collection[str]
) -> Steps[list[Remark]]:
    """A remark on a wrong event ID, if it can be explained.

    `found` has, for each PDU, its ID in the reply or None; `pdu` is the first without
    one. `answered` are all IDs of the reply.
    """
    sent = set(found)
    unknown = islice((name for name in answered if name not in sent), _MAX_NAMES)
    for name in list(unknown):
        for room_version in _VERSIONS:
            hints = yield from diagnose_event_id(pdu, room_version, name)
            if hints and not {hint.code for hint in hints} & _NO_ANSWER:
                why = "; ".join(hint.text for hint in hints)
                text = f"the reply has {quote(name)} for a PDU: {why}"
                return [Remark("reply_event_id", text)]
    return []


def remark_on_alphabet(pdu: Json, answered: EventId) -> Remark | None:
    """A remark on the ID of a PDU in the alphabet of room version 3 alone."""
    if not _has_standard_alphabet(answered) or _is_of_version_3(pdu):
        return None
    text = (
        f"the reply names {quote(answered)}, which is in the alphabet of room version "
        "3; other versions have `-` and `_` in place of `+` and `/`"
    )
    return Remark("reply_event_id", text)


def _is_of_version_3(pdu: Json) -> bool:
    """Whether a PDU shows that its room has version 3."""
    content = pdu.get("content")
    if isinstance(content, dict) and content.get("room_version") == "3":
        return True
    cited = (pdu.get("prev_events"), pdu.get("auth_events"))
    ids = [each for those in cited if isinstance(those, list) for each in those]
    return any(isinstance(each, str) and _has_standard_alphabet(each) for each in ids)


def _has_standard_alphabet(text: str) -> bool:
    # The IDs of versions 1 and 2 have a domain, and may have any character.
    return ":" not in text and ("+" in text or "/" in text)
