"""The settings that differ between two readings of a configuration.

Rules: settings that a reload applies are left out; all others need a restart.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import fields

from homeserver.config.values import Config

# The files with keys and certificates, and what is published of earlier keys.
_TAKEN_UP = frozenset(
    {"tls.certificate", "tls.private_key", "signing.key", "signing.old_keys"}
)


def find_changes(before: Config, after: Config) -> list[str]:
    """The keys whose change needs a restart, as messages name them: `control.listen`.

    An added or removed server is named as such.
    """
    shared = _differences(before, after, leave_out="servers")
    # Each once: a shared setting is in the values of each server as well.
    return list(dict.fromkeys([*shared, *_servers(before, after)]))


def _servers(before: Config, after: Config) -> Iterator[str]:
    is_alone = len(before.servers) == len(after.servers) == 1
    for old in before.servers:
        label = "" if is_alone else f"[[servers]] {old.server_name}: "
        new = after.find(old.server_name)
        if new is not None:
            yield from (label + each for each in _differences(old, new))
        else:
            yield "server_name" if is_alone else f"{label}is gone"
    for new in after.servers:
        if before.find(new.server_name) is None and not is_alone:
            yield f"[[servers]] {new.server_name}: is new"


def _differences(
    before: Struct, after: Struct, prefix: str = "", leave_out: str = ""
) -> Iterator[str]:
    for field in fields(before):
        key = prefix + field.name
        if field.name == leave_out or key in _TAKEN_UP:
            continue
        old, new = getattr(before, field.name), getattr(after, field.name)
        if isinstance(old, Struct) and type(old) is type(new) and key.count(".") == 0:
            yield from _differences(old, new, f"{key}.")
        elif old != new:
            yield key
