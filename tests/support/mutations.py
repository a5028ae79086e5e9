"""Good messages with a few places changed, for parsers that must stand anything.

Chance is an argument: one of Hypothesis' makes a failure come again.
"""

from collections.abc import Sequence
from random import Random

from homeserver.protocol.canonical_json import Json


def mutated_bytes(
    random: Random, seeds: Sequence[bytes], fragments: Sequence[bytes]
) -> bytes:
    """A seed with up to three places replaced by fragments or by any bytes."""
    data = random.choice(seeds)
    for _ in range(random.randint(0, 3)):
        start = random.randint(0, len(data))
        end = start + random.randint(0, 8)
        put = random.choice([*fragments, random.randbytes(random.randint(0, 4))])
        data = data[:start] + put + data[end:]
    return data


def mutated_json(random: Random, seeds: Sequence[Json]) -> Json:
    """A seed in which up to three values, however deep, are others or are gone."""
    mutated = random.choice(seeds)
    for _ in range(random.randint(0, 3)):
        mutated = _change_member(random, mutated)
    return mutated


# Each is the edge of some rule.
_HOSTILE: Sequence[object] = [
    *[None, True, False, 0, -1, 1.5, -0.0, 1e300],
    *[2**53 - 1, 2**53, -(2**63), 2**64 - 1],
    *["", "\0", "é", "\U00010000", "a" * 256, "é" * 128, "@", "@a:b.org", "!r:b.org"],
    *["$e:b.org", "$" + "a" * 43, "!" + "a" * 43],
    *["ed25519:1", "rsa:1", "A" * 86, "AA=="],
    *["invite", "join", "1", "12", "13"],
    *["m.room.create", "m.room.member", "m.presence"],
    *[[], {}, [[]], [{}], {"": {}}, ["$e:b.org"], [["$e:b.org", {}]]],
    [[[[[[[[[[{"a": [[[[[[[[[[1]]]]]]]]]]}]]]]]]]]]],
]

_MEMBERS = [
    *["type", "sender", "user_id", "room_id", "event_id", "state_key", "content"],
    *["hashes", "signatures", "unsigned", "depth", "origin", "prev_events", "sha256"],
    *["membership", "third_party_invite", "join_authorised_via_users_server"],
    *["server_name", "verify_keys", "old_verify_keys", "valid_until_ts", "key", "edus"],
]


def _change_member(random: Random, value: Json) -> Json:
    name = random.choice([*value, random.choice(_MEMBERS)])
    if name in value and random.random() < 0.2:
        return {k: v for k, v in value.items() if k != name}
    return value | {name: _change(random, value.get(name))}


def _change(random: Random, value: object) -> object:
    """A copy with one value changed, in it or below it."""
    goes_on = random.random() < 0.7
    if isinstance(value, dict) and goes_on:
        return _change_member(random, value)
    if isinstance(value, list) and value and goes_on:
        place = random.randrange(len(value))
        return [*value[:place], _change(random, value[place]), *value[place + 1 :]]
    return random.choice(_HOSTILE)
