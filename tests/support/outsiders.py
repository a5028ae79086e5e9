"""Ann outside of a room of other servers: invited to it, or free to knock."""

from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.room import Room
from homeserver.storage.pending_memberships import PendingMembership
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import BOB


def there(near: Neighbours) -> Room:
    """The room as the other servers have it."""
    return result_of(near.them.rooms.known(near.room_id))


def invited(near: Neighbours) -> None:
    """Ann is invited, and that is recorded here."""
    invite = near.send("m.room.member", {"membership": "invite"}, ANN.user_id)
    recorded = PendingMembership(
        near.room_id, ANN, FIRST, near.version, invite.encoded, b"[]"
    )
    result_of(near.side.resident.pending.record(recorded))


def is_invited(near: Neighbours) -> bool:
    """Whether an invite of Ann's is recorded here."""
    return result_of(near.side.resident.pending.find(near.room_id, ANN)) is not None


KNOCKABLE = NewEvent("m.room.join_rules", BOB, {"join_rule": "knock"}, "")
