"""Which keys of a server may verify its signatures of an event.

Rules: a key that was replaced verifies what was sent while it was in use. A key in use
verifies, from room version 5 on, only what was sent before the end of its validity.

Specification: Room Version 5, "Signing key validity period".
"""

from collections.abc import Collection, Mapping

from msgspec import Struct

from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.server_keys import StoredKey


class SignedEvent(Struct, frozen=True):
    """What decides which keys of a server may verify its signatures of an event."""

    key_ids: Collection[KeyId]
    """Of its signatures."""

    origin_server_ts: int
    """When it was sent, by its sender, in milliseconds since 1970."""

    room_version: RoomVersion

    def usable(self, keys: Mapping[KeyId, StoredKey]) -> Mapping[KeyId, VerifyKey]:
        """Those of the keys that may verify it."""
        return {
            key_id: keys[key_id].verify_key
            for key_id in self.key_ids
            if key_id in keys and self._allows(keys[key_id])
        }

    def _allows(self, key: StoredKey) -> bool:
        if key.expired_ts is not None:
            return key.expired_ts >= self.origin_server_ts
        if not self.room_version.enforces_key_validity:
            return True
        until = key.valid_until_ts
        return until is not None and until >= self.origin_server_ts
