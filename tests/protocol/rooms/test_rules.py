"""Each rule of the text decides where it should, under its number in each version."""

from collections.abc import Callable, Sequence

import nacl.signing
import pytest
from msgspec import structs

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.signing import SigningKey, sign
from tests.protocol.rooms.numbers import NUMBERS
from tests.protocol.rooms.room import ALICE, BART, BOB, CAROL, DAN, INA, OLIVE, Room

Make = Callable[[Room], Event]

ABSENT = object()
YES, NO = True, False
VIA = "join_authorised_via_users_server"
KEY = SigningKey(KeyId("ed25519:0"), nacl.signing.SigningKey(b'"' * 32))
OTHER_KEY = SigningKey(KeyId("ed25519:0"), nacl.signing.SigningKey(b"o" * 32))
PUBLIC = encode_base64(KEY.verify_key.key)
URL_SAFE = str.maketrans("+/", "-_")


def topic(sender: str) -> Make:
    """A topic."""
    return lambda room: room.make("m.room.topic", sender, {}, "")


def elsewhere(room: Room) -> Event:
    """A message of a room that has no create event."""
    return room.make("m.room.message", DAN, {}, auth=[], room_id="!x:a.example")


def message(sender: str) -> Make:
    """A message."""
    return lambda room: room.make("m.room.message", sender, {})


def aliases(sender: str, key: str | None) -> Make:
    """The aliases of a server."""
    return lambda room: room.make("m.room.aliases", sender, {}, key)


def member(sender: str, target: str, membership: str, **content: object) -> Make:
    """A member event."""
    return lambda room: room.membership(sender, target, membership, **content)


def join(user: str, rule: object, **content: object) -> Make:
    """A join to a room with a join rule."""
    return lambda room: room.join_rule(rule).membership(user, user, "join", **content)


def by_mail(
    target: str = OLIVE,
    *,
    key: SigningKey = KEY,
    keys: Json | None = None,
    sender: str = DAN,
    **signed: object,
) -> Make:
    """An invite by a third party, of which the state has keys or has not."""
    names = {"mxid": OLIVE, "token": "t"} | signed
    known = {k: v for k, v in names.items() if v is not None}
    invite = {"signed": sign(known, ServerName.parse("id.example"), [key])}
    content: Json = {"public_key": PUBLIC} if keys is None else keys

    def make(room: Room) -> Event:
        room.set("m.room.third_party_invite", DAN, content, "t")
        return room.membership(sender, target, "invite", third_party_invite=invite)

    return make


SIGNATURE = encode_base64(KEY.sign(b'{"mxid":"@olive:o.example","token":"t"}'))


def badly_signed(signatures: object) -> Make:
    """An invite by a third party with these signatures."""

    def make(room: Room) -> Event:
        room.set("m.room.third_party_invite", DAN, {"public_key": PUBLIC}, "t")
        signed = {"mxid": OLIVE, "token": "t", "signatures": signatures}
        invite = {"signed": signed}
        return room.membership(DAN, OLIVE, "invite", third_party_invite=invite)

    return make


def signed_often(keys: int, signatures: int) -> Make:
    """The same with so many keys and signatures, of which the last ones match."""

    def make(room: Room) -> Event:
        others = [OTHER_KEY.verify_key.key] * (keys - 1)
        known = [
            {"public_key": encode_base64(x)} for x in (*others, KEY.verify_key.key)
        ]
        room.set("m.room.third_party_invite", DAN, {"public_keys": known}, "t")
        names = [f"ed25519:{n}" for n in range(signatures)]
        by_key = dict.fromkeys(names, encode_base64(bytes(64)))
        by_key[names[-1]] = SIGNATURE
        signed = {"mxid": OLIVE, "token": "t", "signatures": {"x": by_key}}
        invite = {"signed": signed}
        return room.membership(DAN, OLIVE, "invite", third_party_invite=invite)

    return make


def levels(sender: str, old: Json | None = None, **new: object) -> Make:
    """Power levels, over those that held before."""
    return lambda room: room.levels(**old or {}).new_levels(sender, **new)


def redaction(sender: str, redacts: object) -> Make:
    """A redaction."""
    return lambda room: room.make("m.room.redaction", sender, {}, redacts=redacts)


def create(content: Json | None = None, **members: object) -> Make:
    """A create event, of which some members are other ones."""

    def make(room: Room) -> Event:
        whole = {"creator": ALICE, "room_version": room.version.version}
        merged = {k: v for k, v in {**whole, **(content or {})}.items() if v != ABSENT}
        return room.make("m.room.create", ALICE, merged, "", auth=[], **members)

    return make


def after_create(user: str) -> Make:
    """A join right after the create event."""

    def make(room: Room) -> Event:
        room.last = [room.create]
        room.without("m.room.member", ALICE)
        return room.membership(user, user, "join")

    return make


def create_with_a_room_id(room: Room) -> Event:
    """A create event of version 12 that says which room it begins."""
    pdu = {**room.create.pdu, "room_id": room.room_id}
    return structs.replace(room.create, pdu=pdu)


def citing(*keys: str) -> Make:
    """A message whose auth events are those of the state with these types."""

    def make(room: Room) -> Event:
        found = [room.state[(key, "")] for key in keys]
        sender = room.state[("m.room.member", DAN)]
        return room.make("m.room.message", DAN, {}, auth=[*found, sender])

    return make


def citing_messages(room: Room) -> Event:
    """A message of which two auth events are not even state events."""
    auth = [room.make("m.room.message", ALICE, {}) for _ in range(2)]
    return room.make("m.room.message", DAN, {}, auth=auth)


def citing_a_rejected(room: Room) -> Event:
    """A message of which an auth event was rejected."""
    room.rejected.add(room.state[("m.room.power_levels", "")].event_id)
    return room.make("m.room.message", DAN, {})


def citing_another_room(room: Room) -> Event:
    """A message of which an auth event is of another room."""
    elsewhere = room.make("m.room.power_levels", ALICE, {}, "", room_id="!x:a.example")
    found = room.make("m.room.message", DAN, {}).auth_event_ids
    auth = [room.known[x] for x in found if room.known[x].type == "m.room.member"]
    if not room.version.has_hash_room_id:
        auth.append(room.create)
    return room.make("m.room.message", DAN, {}, auth=[*auth, elsewhere])


def of_rejected_create(room: Room) -> Event:
    """A message in a room whose create event was rejected."""
    room.rejected.add(room.create.event_id)
    return room.make("m.room.message", DAN, {})


def of_no_create(room: Room) -> Event:
    """A message whose room ID names what is not a create event."""
    room.create = room.state[("m.room.member", DAN)]
    return room.make("m.room.message", DAN, {}, auth=[room.create])


def foreign(federates: object, sender: str) -> Make:
    """A message in a room that is of its own server alone, or is not."""

    def make(room: Room) -> Event:
        version = room.version.version
        room.__init__(version, **{"m.federate": federates})  # type: ignore[misc]
        return room.make("m.room.message", sender, {})

    return make


UNSIGNED = {"signed": {"mxid": OLIVE, "token": "t"}}

# What decides, whether it allows, what it decides on; the room versions if not all.
ROWS: list[tuple[str, bool, Make, Sequence[int]]] = [
    ("create.prev_events", False, create(prev_events=["$x"]), range(3, 13)),
    ("create.prev_events", False, create(prev_events=[["$x:y", {}]]), (1, 2)),
    ("create.room_id", False, create(room_id="!r:b.example"), range(1, 12)),
    ("create.room_id", False, create_with_a_room_id, (12,)),
    ("create.version", False, create(content={"room_version": "13"}), ()),
    ("create.version", False, create(content={"room_version": None}), ()),
    ("create.version", False, create(content={"room_version": ["1"]}), ()),
    ("create.creator", False, create(content={"creator": ABSENT}), ()),
    ("create.allow", True, create(content={"creator": ABSENT}), (11, 12)),
    ("create.allow", True, create(content={"room_version": ABSENT}), ()),
    ("create.allow", True, create(content={"additional_creators": 5}), range(1, 12)),
    ("create.allow", True, create(content={"additional_creators": [BOB]}), (12,)),
    ("create.additional", False, create(content={"additional_creators": BOB}), ()),
    ("create.additional", False, create(content={"additional_creators": None}), ()),
    ("create.additional", False, create(content={"additional_creators": ["b"]}), ()),
    ("create.additional", False, create(content={"additional_creators": [5]}), ()),
    ("room_id", False, elsewhere, ()),
    ("room_id", False, of_rejected_create, ()),
    ("room_id", False, of_no_create, ()),
    ("auth.duplicate", False, citing("m.room.power_levels", "m.room.power_levels"), ()),
    ("auth.selection", False, citing("m.room.join_rules"), ()),
    ("auth.selection", False, citing_messages, ()),
    ("auth.selection", False, citing("m.room.create"), (12,)),
    ("auth.rejected", False, citing_a_rejected, ()),
    ("auth.create", False, citing("m.room.power_levels"), ()),
    ("auth.room", False, citing_another_room, ()),
    ("federate", False, foreign(NO, DAN), ()),
    ("federate", False, foreign("yes", DAN), ()),
    ("federate", False, foreign(None, DAN), ()),
    ("allow", True, foreign(NO, ALICE), ()),
    ("allow", True, foreign(YES, DAN), ()),
    ("aliases.key", False, aliases(DAN, None), ()),
    ("aliases.domain", False, aliases(DAN, "a.example"), ()),
    ("aliases.allow", True, aliases(OLIVE, "o.example"), ()),
    ("sender", False, aliases(OLIVE, "o.example"), range(6, 13)),
    ("level", False, aliases(DAN, "d.example"), range(6, 13)),
    ("member.form", False, lambda r: r.make("m.room.member", DAN, {}, DAN), ()),
    (
        "member.form",
        False,
        lambda r: r.make("m.room.member", DAN, {"membership": "join"}),
        (),
    ),
    ("member.form", False, member(ALICE, "olive", "invite"), ()),
    ("member.form", False, member(ALICE, "@olive", "invite"), ()),
    ("member.form", False, member(DAN, DAN, 5), ()),  # type: ignore[arg-type]
    ("member.signed", False, join(OLIVE, "public", **{VIA: 5}), ()),
    ("member.signed", False, join(OLIVE, "public", **{VIA: "bob"}), ()),
    ("join.public", True, join(OLIVE, "public", **{VIA: BOB}), ()),
    ("join.public", True, join(OLIVE, "public", **{VIA: 5}), range(1, 8)),
    ("leave.self", True, member(DAN, DAN, "leave", **{VIA: 5}), ()),
    ("join.first", True, after_create(ALICE), ()),
    ("join.otherwise", False, after_create(OLIVE), ()),
    ("join.self", False, member(BOB, INA, "join"), ()),
    ("join.banned", False, join(BART, "public"), ()),
    ("join.invited", True, join(INA, "invite"), ()),
    ("join.invited", True, join(DAN, "invite"), ()),
    ("join.invited", True, join(INA, "knock"), range(7, 13)),
    ("join.otherwise", False, join(INA, "knock"), range(1, 7)),
    ("join.otherwise", False, join(OLIVE, "invite"), ()),
    ("join.otherwise", False, join(OLIVE, "knock"), ()),
    ("join.otherwise", False, join(INA, "private"), ()),
    ("join.otherwise", False, join(INA, None), ()),
    ("join.otherwise", False, join(INA, ["invite"]), ()),
    ("join.otherwise", False, join(INA, "restricted"), range(1, 8)),
    ("join.otherwise", False, join(INA, "knock_restricted"), range(1, 10)),
    ("join.restricted.invited", True, join(INA, "restricted"), ()),
    ("join.restricted.invited", True, join(DAN, "restricted"), ()),
    ("join.restricted.invited", True, join(INA, "knock_restricted"), (10, 11, 12)),
    ("join.restricted.authorised", False, join(OLIVE, "restricted"), ()),
    ("join.restricted.authorised", False, join(OLIVE, "restricted", **{VIA: INA}), ()),
    (
        "join.restricted.authorised",
        False,
        lambda r: join(OLIVE, "restricted", **{VIA: DAN})(r.levels(invite=1)),
        (),
    ),
    (
        "join.restricted.allow",
        True,
        lambda r: join(OLIVE, "restricted", **{VIA: BOB})(r.levels(invite=50)),
        (),
    ),
    ("join.public", True, join(OLIVE, "public"), ()),
    ("third.banned", False, by_mail(BART), ()),
    ("third.signed", False, member(DAN, OLIVE, "invite", third_party_invite={}), ()),
    ("third.signed", False, member(DAN, OLIVE, "invite", third_party_invite=None), ()),
    (
        "third.signed",
        False,
        member(DAN, OLIVE, "invite", third_party_invite={"signed": 5}),
        (),
    ),
    ("third.members", False, by_mail(mxid=None), ()),
    ("third.members", False, by_mail(token=None), ()),
    ("third.members", False, by_mail(token=5), ()),
    ("third.mxid", False, by_mail(INA), ()),
    ("third.token", False, by_mail(token="u"), ()),
    ("third.sender", False, by_mail(sender=BOB), ()),
    ("third.allow", True, by_mail(), ()),
    ("third.allow", True, by_mail(DAN, mxid=DAN), ()),
    ("third.allow", True, by_mail(keys={"public_keys": [{"public_key": PUBLIC}]}), ()),
    (
        "third.allow",
        True,
        by_mail(
            keys={"public_key": "x", "public_keys": [5, {}, {"public_key": PUBLIC}]}
        ),
        (),
    ),
    ("third.allow", True, by_mail(keys={"public_key": PUBLIC.translate(URL_SAFE)}), ()),
    ("third.otherwise", False, by_mail(key=OTHER_KEY), ()),
    ("third.otherwise", False, badly_signed({"id": {"ed25519:0": "A"}}), ()),
    ("third.otherwise", False, badly_signed({"id": {"ed25519:0": 5}}), ()),
    ("third.otherwise", False, badly_signed({"id": {"rsa:0": SIGNATURE}}), ()),
    ("third.otherwise", False, badly_signed({"id": [SIGNATURE]}), ()),
    ("third.otherwise", False, badly_signed([{"ed25519:0": SIGNATURE}]), ()),
    ("third.allow", True, badly_signed({"id": {"ed25519:x": SIGNATURE}}), ()),
    (
        "third.allow",
        True,
        badly_signed({"id": {"ed25519:0": "%", "ed25519:1": SIGNATURE}}),
        (),
    ),
    (
        "third.allow",
        True,
        badly_signed({"a": {"ed25519:0": "%"}, "b": {"ed25519:0": SIGNATURE}}),
        (),
    ),
    ("third.allow", True, signed_often(40, 25), ()),
    ("third.allow", False, signed_often(40, 26), ()),
    ("third.otherwise", False, by_mail(keys={}), ()),
    ("third.otherwise", False, by_mail(keys={"public_keys": PUBLIC}), ()),
    ("invite.sender", False, member(INA, OLIVE, "invite"), ()),
    ("invite.target", False, member(DAN, BOB, "invite"), ()),
    ("invite.target", False, member(DAN, BART, "invite"), ()),
    ("invite.allow", True, member(DAN, OLIVE, "invite"), ()),
    ("invite.allow", True, member(DAN, INA, "invite"), ()),
    (
        "invite.allow",
        True,
        lambda r: r.levels(invite=50).membership(BOB, OLIVE, "invite"),
        (),
    ),
    (
        "invite.otherwise",
        False,
        lambda r: r.levels(invite=51).membership(BOB, OLIVE, "invite"),
        (),
    ),
    ("leave.self", True, member(DAN, DAN, "leave"), ()),
    ("leave.self", True, member(INA, INA, "leave"), ()),
    ("leave.self", False, member(OLIVE, OLIVE, "leave"), ()),
    ("leave.self", False, member(BART, BART, "leave"), ()),
    (
        "leave.self",
        True,
        lambda r: r.member(OLIVE, "knock").membership(OLIVE, OLIVE, "leave"),
        range(7, 13),
    ),
    (
        "leave.self",
        False,
        lambda r: r.member(OLIVE, "knock").membership(OLIVE, OLIVE, "leave"),
        range(1, 7),
    ),
    ("leave.sender", False, member(INA, DAN, "leave"), ()),
    (
        "leave.unban",
        False,
        lambda r: r.levels(ban=51).membership(BOB, BART, "leave"),
        (),
    ),
    ("leave.allow", True, member(BOB, BART, "leave"), ()),
    ("leave.allow", True, member(BOB, DAN, "leave"), ()),
    ("leave.allow", True, member(BOB, INA, "leave"), ()),
    ("leave.allow", True, member(ALICE, BOB, "leave"), ()),
    (
        "leave.otherwise",
        False,
        lambda r: r.levels(kick=51).membership(BOB, BART, "leave"),
        (),
    ),
    ("leave.otherwise", False, member(BOB, CAROL, "leave"), ()),
    ("leave.otherwise", False, member(DAN, INA, "leave"), ()),
    ("ban.sender", False, member(INA, DAN, "ban"), ()),
    ("ban.allow", True, member(BOB, OLIVE, "ban"), ()),
    ("ban.allow", True, member(BOB, BART, "ban"), ()),
    ("ban.otherwise", False, member(BOB, CAROL, "ban"), ()),
    ("ban.otherwise", False, member(BOB, BOB, "ban"), ()),
    ("ban.otherwise", False, member(ALICE, ALICE, "ban"), ()),
    ("ban.otherwise", False, member(DAN, OLIVE, "ban"), ()),
    (
        "knock.rule",
        False,
        lambda r: r.join_rule("public").membership(OLIVE, OLIVE, "knock"),
        (),
    ),
    ("knock.rule", False, member(OLIVE, OLIVE, "knock"), ()),
    (
        "knock.rule",
        False,
        lambda r: r.join_rule("knock_restricted").membership(OLIVE, OLIVE, "knock"),
        (7, 8, 9),
    ),
    (
        "knock.self",
        False,
        lambda r: r.join_rule("knock").membership(BOB, OLIVE, "knock"),
        (),
    ),
    (
        "knock.allow",
        True,
        lambda r: r.join_rule("knock").membership(OLIVE, OLIVE, "knock"),
        (),
    ),
    (
        "knock.allow",
        True,
        lambda r: r.join_rule("knock_restricted").membership(OLIVE, OLIVE, "knock"),
        (10, 11, 12),
    ),
    *(
        (
            "knock.otherwise",
            False,
            lambda r, who=who: r.join_rule("knock").membership(who, who, "knock"),
            (),
        )
        for who in (BART, INA, DAN)
    ),
    ("member.unknown", False, member(DAN, DAN, "knock"), range(1, 7)),
    ("member.unknown", False, member(DAN, DAN, "ghost"), ()),
    ("sender", False, message(OLIVE), ()),
    ("sender", False, message(INA), ()),
    ("sender", False, message(BART), ()),
    (
        "third_party_invite",
        True,
        lambda r: r.make("m.room.third_party_invite", DAN, {}, "t"),
        (),
    ),
    (
        "third_party_invite",
        False,
        lambda r: r.levels(invite=1).make("m.room.third_party_invite", DAN, {}, "t"),
        (),
    ),
    ("level", False, topic(DAN), ()),
    ("level", False, lambda r: message(DAN)(r.levels(events_default=1)), ()),
    ("level", False, lambda r: topic(BOB)(r.levels(state_default=51)), ()),
    ("level", False, lambda r: topic(BOB)(r.levels(events={"m.room.topic": 51})), ()),
    ("allow", True, lambda r: topic(DAN)(r.levels(events={"m.room.topic": 0})), ()),
    ("allow", True, topic(BOB), ()),
    ("allow", True, message(DAN), ()),
    ("level", False, lambda r: message(DAN)(r.levels(users_default=-5)), ()),
    ("state_key", False, lambda r: r.make("x.state", ALICE, {}, BOB), ()),
    ("state_key", False, lambda r: r.make("x.state", ALICE, {}, "@"), ()),
    ("allow", True, lambda r: r.make("x.state", BOB, {}, BOB), ()),
    ("allow", True, lambda r: r.make("x.state", BOB, {}, "b@" + BOB), ()),
    ("power.scalars", False, levels(BOB, ban="50"), ()),
    ("power.scalars", False, levels(BOB, invite=[]), ()),
    ("power.entries", False, levels(BOB, events={"x": "5"}), ()),
    ("power.entries", False, levels(BOB, events=[]), ()),
    ("power.entries", False, levels(BOB, notifications={"room": True}), ()),
    ("power.users", False, levels(BOB, users=[]), ()),
    ("power.users", False, levels(BOB, users={"bob": 5}), ()),
    ("power.users", False, levels(BOB, users={BOB: "five"}), ()),
    ("power.users", False, levels(BOB, users={BOB: "50"}), (10, 11, 12)),
    ("power.creators", False, levels(ALICE, users={ALICE: 1}), ()),
    (
        "power.first",
        True,
        lambda r: r.without("m.room.power_levels").new_levels(ALICE, ban=2000),
        (),
    ),
    ("power.levels", False, levels(BOB, kick=51), ()),
    ("power.levels", False, levels(BOB, {"kick": 51}, kick=50), ()),
    ("power.levels", False, levels(BOB, {"kick": 51}, kick=None), ()),
    *(
        ("power.levels", False, levels(BOB, {name: 51}, **{name: 0}), ())
        for name in (
            "users_default",
            "events_default",
            "state_default",
            "ban",
            "redact",
            "kick",
            "invite",
        )
        if name != "state_default"
    ),
    (
        "power.levels",
        False,
        levels(
            BOB,
            {"state_default": 51, "events": {"m.room.power_levels": 50}},
            state_default=50,
        ),
        (),
    ),
    ("power.allow", True, levels(BOB, ban=50, kick=0, invite=50), ()),
    ("power.allow", True, levels(BOB, {"kick": 51}), ()),
    ("power.take_entries", False, levels(BOB, {"events": {"x": 51}}, events={}), ()),
    (
        "power.take_entries",
        False,
        levels(BOB, {"events": {"x": 51}}, events={"x": 5}),
        (),
    ),
    (
        "power.take_entries",
        False,
        levels(BOB, {"notifications": {"room": 51}}, notifications={}),
        range(6, 13),
    ),
    (
        "power.allow",
        True,
        levels(BOB, {"notifications": {"room": 51}}, notifications={}),
        range(1, 6),
    ),
    ("power.give_entries", False, levels(BOB, events={"x": 51}), ()),
    ("power.allow", True, levels(BOB, {"events": {"x": 50}}, events={"y": 50}), ()),
    ("power.take_users", False, levels(BOB, users={BOB: 50, CAROL: 49}), range(1, 13)),
    ("power.allow", True, levels(BOB, users={BOB: 50, CAROL: 50}), (12,)),
    ("power.allow", True, levels(BOB, users={BOB: 49, CAROL: 50}), (12,)),
    ("power.allow", True, levels(BOB, users={CAROL: 50}), (12,)),
    ("power.give_users", False, levels(BOB, users={BOB: 51, CAROL: 50}), (12,)),
    (
        "power.give_users",
        False,
        levels(BOB, users={ALICE: 100, BOB: 50, CAROL: 50, DAN: 51}),
        range(1, 12),
    ),
    ("power.allow", True, levels(ALICE, users={BOB: 50, CAROL: 2**53 - 1}), (12,)),
    ("power.give_users", False, levels(ALICE, users={ALICE: 100, BOB: 101}), (11,)),
    ("redaction.level", True, redaction(BOB, "$x:a.example"), ()),
    ("redaction.own", True, redaction(DAN, "$x:d.example"), ()),
    ("redaction.otherwise", False, redaction(DAN, "$x:a.example"), ()),
    ("redaction.otherwise", False, redaction(DAN, "$x"), ()),
    ("redaction.otherwise", False, redaction(DAN, 5), ()),
    ("allow", True, redaction(DAN, "$x:a.example"), range(3, 13)),
]


def _versions(rule: str, only: Sequence[int]) -> list[str]:
    own = NUMBERS[rule]
    return [x for x in own if not only or int(x) in only]


CASES = [
    pytest.param(version, rule, allowed, make, id=f"{number}-{rule}-{version}")
    for number, (rule, allowed, make, only) in enumerate(ROWS)
    for version in _versions(rule, only)
]


@pytest.mark.parametrize(("version", "rule", "allowed", "make"), CASES)
def test_rule(version: str, rule: str, *, allowed: bool, make: Make) -> None:
    """The rule decides, under the number that it has in the text of the version."""
    room = Room(version)
    event = make(room)
    try:
        verdict, is_allowed = room.check(event).rule, True
    except NotAllowed as refused:
        verdict, is_allowed = refused.rule, False
    assert (verdict, is_allowed) == (NUMBERS[rule][version], allowed)


def test_each_rule_is_asked() -> None:
    """No rule of any version is left out of the cases."""
    asked = {(rule, version) for version, rule, *_ in (x.values for x in CASES)}
    assert asked == {(x, version) for x in NUMBERS for version in NUMBERS[x]}
