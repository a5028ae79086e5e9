"""How a destination came to the event IDs in its reply to a transaction.

Rules: one PDU that the reply does not name is looked at, beside the first names that
were not sent: who computes one ID wrongly computes them all so.
"""

from collections.abc import Collection, Sequence
from itertools import islice

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.event_ids import diagnose_event_id
from homeserver.protocol.diagnosis.search import Steps
from homeserver.protocol.errors import quote
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import Remark

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
