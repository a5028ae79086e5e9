"""Which exchanges are meant: a matcher of members, with `*` for any text.

Rules: a matcher without members matches everything. All members that it has must match.
Nothing matches a member that an exchange lacks.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from homeserver.lab.record.entry import MEMBERS, Entry, Member
from homeserver.net.exchange import Direction, Kind


class Difference(Struct, frozen=True):
    """A member in which an exchange is not what is wanted."""

    wanted: str
    seen: str | Sequence[str] | None
    """What the exchange has; None if it lacks the member."""


class Match(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    """Members that an exchange must have; in each, `*` stands for any text."""

    server: str | None = None
    """Our server's name."""

    peer: str | None = None
    """The other server's name, proven or only claimed."""

    direction: Direction | None = None
    kind: Kind | None = None

    route: str | None = None
    """The template of the path, as in `/_matrix/federation/v1/send/{txnId}`."""

    method: str | None = None
    """Of a request; of a DNS question, the type of the records."""

    path: str | None = None
    """Of a request, without its query; of a DNS question, the name."""

    status: int | str | None = None
    reason: str | None = None
    txn_id: str | None = None
    room_id: str | None = None
    """A room of the path, or of one of the PDUs."""

    @cached_property
    def _wanted(self) -> Mapping[Member, str]:
        named = ((member, getattr(self, member)) for member in MEMBERS)
        return {member: str(value) for member, value in named if value is not None}

    def matches(self, entry: Entry) -> bool:
        """Whether an exchange is meant."""
        return all(
            any(_is_like(value, wanted) for value in entry.values(member))
            for member, wanted in self._wanted.items()
        )

    def differences(self, entry: Entry) -> dict[str, Difference]:
        """In which members an exchange is not what is wanted."""
        found: dict[str, Difference] = {}
        for member, wanted in self._wanted.items():
            values = entry.values(member)
            if not any(_is_like(value, wanted) for value in values):
                seen = values[0] if len(values) == 1 else values or None
                found[member] = Difference(wanted, seen)
        return found


def _is_like(value: str, pattern: str) -> bool:
    """Whether a text is what a pattern with `*` says.

    The time is that of a few searches, whatever the text: a regular expression with
    several `*` can take the power of their number.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return value == pattern
    *middle, last = parts
    if not (value.startswith(first) and value.endswith(last)):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:
        found = value.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end
