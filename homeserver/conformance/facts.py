"""What pre-flight has found about the target, and what a run was told.

Rules: values; a check reads them, and pre-flight writes them once.
"""

from collections.abc import Sequence

from msgspec import Struct, field

from homeserver.conformance.ours import Ours
from homeserver.conformance.setup import Maker


class Facts(Struct):
    """What is known of the target."""

    users: Sequence[str] = ()
    """User IDs of the target."""

    rooms: dict[str, str] = field(default_factory=dict)
    """Rooms of the target: {room version, or what is special about it: room ID}."""

    guests: dict[str, Sequence[Ours]] = field(default_factory=dict)
    """Servers of ours that a special room of the target is about: those of the users
    that it invites or bans, or those that its ACL denies."""

    alias: str | None = None
    media: str | None = None
    """The ID of media that the target has."""

    version: str = ""
    """What the target says that it is, such as `Synapse 1.163.2`."""

    unmet: dict[str, str] = field(default_factory=dict)
    """The needs that are not met: {code: why, and what to configure}."""

    advice: list[str] = field(default_factory=list)
    """What to configure so that more can be tested, in paragraphs."""

    setup: Maker | None = None
    """Makes what only the target's owner can; None without a command."""
