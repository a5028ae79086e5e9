"""Where gomatrixserverlib is known to read room versions otherwise than their text.

Rules: a row has the name of a difference, the section, what the text says, and what
gomatrixserverlib does. By the two verdicts, the event and the state it decides whether
it explains a difference; `gomatrixserverlib_signs.py` has how. A difference that no row
explains is a finding.

Numbers are those of Room Versions, version 12, "Authorisation rules".
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from homeserver.protocol.events.event import Event
from tests.interop import gomatrixserverlib_signs as signs
from tests.interop.gomatrixserverlib_rooms import Judgement

Case = TypeVar("Case")

_FLOAT = re.compile(r": (-0\.\d+|-?\d+\.0)[,}]")


@dataclass(frozen=True)
class Known(Generic[Case]):
    """A known difference."""

    name: str
    why: str
    """The section, what the text says, and what gomatrixserverlib does."""

    explains: Callable[[Case], bool]


def known(rows: Iterable[Known[Case]], case: Case) -> Known[Case] | None:
    """The first row that explains a case."""
    return next((row for row in rows if row.explains(case)), None)


EVENT_IDS: Sequence[Known[Event]] = (
    Known(
        "third-party invites are redacted whole",
        'Version 11, "Redactions": `signed` of `third_party_invite` is kept; it drops '
        "all of `third_party_invite`",
        lambda event: (
            "third_party_invite" in event.content
            and int(event.room_version.version) >= 11
        ),
    ),
    Known(
        "floats are written otherwise",
        'Appendices, "Canonical JSON" has no floats; versions 1 to 5 accept them, and '
        'Synapse keeps their text, as we do; it takes the "-" from -0.5, and the ".0" '
        "from 1000000000000000.0",
        lambda event: bool(_FLOAT.search(json.dumps(event.pdu))),
    ),
)

RULES: Sequence[Known[Judgement]] = (
    Known(
        "aliases of all versions are free",
        "4 of versions 1 to 5: a server sets its own aliases; from version 6 on the "
        "rules of other events hold; it has the old rule in all versions",
        signs.aliases,
    ),
    Known(
        "any join rule admits the invited",
        "5.3.7: by other join rules than those named no user joins; it admits those "
        "who are invited or joined",
        signs.any_join_rule,
    ),
    Known(
        "knock_restricted is known early",
        "5.3.5 and 5.7.1: `knock_restricted` is a join rule from version "
        "10 on; it has it from 7 on for knocks, and from 8 on for joins",
        signs.early_join_rule,
    ),
    Known(
        "a user who left may leave",
        "5.5.1: a user leaves who is joined, invited or knocking; it also allows that "
        "to a user who has left",
        signs.second_leave,
    ),
    Known(
        "unbanning needs no power over the target",
        "5.5.3 and 5.5.4: an unban needs the ban level, the kick level and more power "
        "than the target has; it asks for the ban level alone",
        signs.unban,
    ),
    Known(
        "the key beside public_keys is not used",
        "5.4.1.7: a signature may be by `public_key`; it uses `public_keys` alone",
        signs.single_key,
    ),
    Known(
        "tokens with @ belong to users",
        "7: only the invite level decides on `m.room.third_party_invite`; it applies "
        "rule 9, on state keys that begin with @, to it too",
        signs.invite_key,
    ),
    Known(
        "third-party invites are not the sender's own",
        "5.4.1.6: the sender of an invite sent the `m.room.third_party_invite` too; it "
        "does not compare them",
        signs.foreign_invite,
    ),
    Known(
        "every membership may rest on a token",
        "5.4.1: `third_party_invite` says something in invites; it looks for the token "
        "of each member event that has it",
        signs.other_membership,
    ),
    Known(
        "third-party invites reach the banned",
        "5.4.1.1: a banned target is not invited; it does not look at the target",
        signs.banned_invite,
    ),
    Known(
        "a knocking user may not join a public room",
        "5.3.6: by the join rule `public` a user joins who is not banned; it demands "
        "that the user has left",
        signs.knocked,
    ),
    Known(
        "the first join is the sender's own",
        "5.3.1: the creator's join right after the create event is allowed before the "
        "sender is looked at; it compares the sender with the state key first",
        signs.first_join,
    ),
    Known(
        "notifications below one's power",
        "10.7 and 10.8: the old level may be equal to the sender's, and what was "
        "absent has no level; it demands a lower one, takes 50 for what is absent, "
        "and in version 12 gives creators no power here",
        signs.notifications,
    ),
    Known(
        "users_default above one's power",
        "10.6: a new `users_default` is at most the sender's power; it does not look",
        signs.users_default,
    ),
    Known(
        "contents are read whole",
        "5: the rules name the members that they need; it reads the others too, "
        "and refuses the event, or takes the state event for absent, where one of "
        "them has not the usual type",
        signs.typed_content,
    ),
    Known(
        "levels are read all at once",
        "10.1 of versions 1 to 9: of power levels, `users` alone is checked; a level "
        "that nothing needs is not read; it reads all of them, and where one is no "
        "level, takes the power levels for absent, or null for 0",
        signs.unread_levels,
    ),
    Known(
        "absent levels have their defaults",
        "10.6 to 10.10: a level that is added has no old value, one that is removed "
        "has no new one; it takes the default for both",
        signs.absent_entry,
    ),
)
