"""What an event's signature or ID may be over, in place of the redacted event.

Rules: the right object comes first, then each mistake alone, then two together. Each
variant says which mistakes it is made of.

Specification: Server-server API, "Signing Events"; Room Versions, "Redactions".
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.diagnosis.json_forms import (
    CANONICAL,
    FORMS,
    Form,
    Value,
    finish,
    form_hints,
)
from homeserver.protocol.events.event import redact
from homeserver.protocol.events.room_versions import (
    EVENTS_OF_2014,
    ROOM_VERSIONS,
    RoomVersion,
)

_BYTES_PER_US = 150  # canonical JSON
_FORM_BYTES_PER_US = 30  # encoded by the library, which is slower than ours

_NEVER_SIGNED = ("signatures", "unsigned")


def _redactions() -> Sequence[tuple[RoomVersion, Sequence[str]]]:
    """Room versions that redact differently, each with the names of those like it."""
    found: dict[object, tuple[RoomVersion, list[str]]] = {}
    for each in (*ROOM_VERSIONS.values(), EVENTS_OF_2014):
        name = "1 as of 2014" if each is EVENTS_OF_2014 else each.version
        rules = each.kept_members, id(each.kept_content), each.keeps_signed_invite
        found.setdefault(rules, (each, []))[1].append(name)
    return list(found.values())


_REDACTIONS = _redactions()


class Variant(Struct, frozen=True):
    """An object that may have been signed or hashed."""

    value: Json
    made_by: tuple[Hint, ...] = ()
    form: Form = CANONICAL

    def write(self) -> bytes:
        """The bytes that were signed or hashed."""
        return finish(Value(self.value).text(self.form), self.form)

    def cost(self, length: int) -> int:
        """What writing so many bytes takes, in microseconds."""
        return length // (_FORM_BYTES_PER_US if self.form.codes else _BYTES_PER_US)

    @property
    def hints(self) -> tuple[Hint, ...]:
        """What has to change."""
        if not self.form.codes:
            return self.made_by
        on_form = form_hints(self.form, self.write(), encode(self.value))
        return (*self.made_by, *on_form)


def signed_variants(pdu: Json, room_version: RoomVersion) -> Iterator[Variant]:
    """What may have been signed of a PDU; the first variant is the right one."""
    right = Variant(redacted(pdu, room_version))
    others = _other_objects(pdu, room_version)
    yield right
    yield from others
    toggled = list(toggled_members(pdu, right.value, "event"))
    yield from toggled
    yield from in_forms(right.value)
    for other in others:
        yield from toggled_members(pdu, other.value, "event", other.made_by)
        yield from in_forms(other.value, other.made_by)
    for first in toggled:
        yield from toggled_members(pdu, first.value, "event", first.made_by)


def redacted(pdu: Json, room_version: RoomVersion) -> Json:
    """The object that is signed of a PDU."""
    return _without(redact(pdu, room_version), "signatures")


def _other_objects(pdu: Json, room_version: RoomVersion) -> Sequence[Variant]:
    """The redactions of other room versions, and the unredacted event."""
    right = encode(redacted(pdu, room_version))
    versions: dict[bytes, tuple[Json, list[str]]] = {}
    for rules, names in _REDACTIONS:
        value = redacted(pdu, rules)
        versions.setdefault(encode(value), (value, []))[1].extend(names)
    variants: list[Variant] = []
    for written, (value, names) in versions.items():
        if written != right:
            hint = Hint(
                "event-redaction",
                f"the event was redacted as in room version {', '.join(names)}; the "
                f"room has version {room_version.version}",
            )
            variants.append(Variant(value, (hint,)))
    unredacted = Hint(
        "event-unredacted",
        "the whole event was signed or hashed; redact it first, on a copy",
    )
    variants.append(Variant(_without(pdu, *_NEVER_SIGNED), (unredacted,)))
    return variants


def toggled_members(
    pdu: Json, right: Json, kind: str, made_by: tuple[Hint, ...] = ()
) -> Iterator[Variant]:
    """`right` with each member of a PDU taken in or left out, one at a time.

    `kind` is `event` or `hash`, with which the codes begin. A member of which no value
    is in the PDU is tried with those that implementations give it.
    """
    for name, value in _addable(pdu):
        if name not in right:
            hint = Hint(
                f"{kind}-member-in",
                f"`{name}` was signed or hashed as well; leave it out",
            )
            yield Variant({**right, name: value}, (*made_by, hint))
    for name in right:
        hint = Hint(
            f"{kind}-member-out",
            f"`{name}` was not signed or hashed; it was left out, or added afterwards",
        )
        yield Variant(_without(right, name), (*made_by, hint))


def _addable(pdu: Json) -> Iterator[tuple[str, object]]:
    yield from pdu.items()
    for name in ("signatures", "unsigned", "hashes"):
        yield name, {}
    sender = pdu.get("sender")
    if isinstance(sender, str):
        yield "origin", sender.partition(":")[2]


def in_forms(value: Json, made_by: tuple[Hint, ...] = ()) -> Iterator[Variant]:
    """An object in the wrong forms of JSON."""
    for form in FORMS:
        yield Variant(value, made_by, form)


def _without(value: Json, *names: str) -> Json:
    return {k: v for k, v in value.items() if k not in names}
