"""The users of one of our servers that a test defines.

Rules: they are in memory and end with the process. Only the control API defines a user,
and its limits bound what there is; nothing that another server asks adds anything. A
one-time key is handed out once, in the order in which the keys were defined.

Specification: Server-server API, "Device Management", "End-to-End Encryption",
"OpenID"; Client-server API, "One-time and fallback keys".
"""

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct, field

from homeserver.config.values import Profile
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import NotFound, TooLarge, quote
from homeserver.protocol.identifiers import ServerName

MAX_USERS = 1000  # of a server; a test has a few


class Device(Struct, frozen=True, kw_only=True):
    """A device of a user."""

    device_id: str
    display_name: str | None = None
    keys: Json | None = None
    """As a client uploads them; None for a device without keys."""

    one_time_keys: Json = field(default_factory=dict)
    """Those that are left: {algorithm and key ID: key}."""

    fallback_keys: Json = field(default_factory=dict)
    """The same, handed out when no one-time key is left, and kept."""

    def claim(self, algorithm: str) -> Json:
        """A key of an algorithm by its ID, which is then gone; empty if there is none.

        A fallback key stays.
        """
        prefix = f"{algorithm}:"
        for key_id, key in self.one_time_keys.items():
            if key_id.startswith(prefix):
                del self.one_time_keys[key_id]
                return {key_id: key}
        for key_id, key in self.fallback_keys.items():
            if key_id.startswith(prefix):
                return {key_id: key}
        return {}


class User(Struct, frozen=True, kw_only=True):
    """A user of ours, with what other servers may ask about it."""

    user_id: str
    stream_id: int
    """The version of its devices, as `m.device_list_update` counts them."""

    profile: Profile | None = None
    devices: Mapping[str, Device] = {}
    """By their IDs."""

    master_key: Json | None = None
    self_signing_key: Json | None = None
    openid_tokens: Collection[str] = ()


class Users:
    """The users of one of our servers, in the order in which they were defined."""

    def __init__(self, server_name: ServerName) -> None:
        self.server_name = server_name
        self.profiles: dict[str, Profile] = {}
        """Those that have one, by user ID."""

        self._users: dict[str, User] = {}
        self._tokens: dict[str, str] = {}
        self._last_stream_id = 0

    def __iter__(self) -> Iterator[User]:
        return iter([*self._users.values()])

    def next_stream_id(self) -> int:
        """A version of a user's devices that no user had before."""
        self._last_stream_id += 1
        return self._last_stream_id

    def put(self, user: User) -> None:
        """Define a user, in place of one of the same ID; raises `TooLarge`."""
        if user.user_id not in self._users and len(self._users) >= MAX_USERS:
            raise TooLarge(f"there are {MAX_USERS} users already; delete some")
        self._forget(user.user_id)
        self._users[user.user_id] = user
        self._last_stream_id = max(self._last_stream_id, user.stream_id)
        if user.profile is not None:
            self.profiles[user.user_id] = user.profile
        self._tokens |= dict.fromkeys(user.openid_tokens, user.user_id)

    def find(self, user_id: str) -> User | None:
        """A user; None if there is no such one."""
        return self._users.get(user_id)

    def known(self, user_id: str) -> User:
        """As `find`; raises `NotFound`."""
        found = self.find(user_id)
        if found is None:
            raise NotFound(f"there is no user {quote(user_id)} here")
        return found

    def of_token(self, token: str) -> str | None:
        """The ID of the user whose OpenID token this is."""
        return self._tokens.get(token)

    def remove(self, user_id: str) -> None:
        """Let a user end; raises `NotFound`."""
        self.known(user_id)
        self._forget(user_id)
        del self._users[user_id]

    def _forget(self, user_id: str) -> None:
        """Forget what is found of a user by other keys than its ID."""
        self.profiles.pop(user_id, None)
        for token in [t for t, owner in self._tokens.items() if owner == user_id]:
            del self._tokens[token]
