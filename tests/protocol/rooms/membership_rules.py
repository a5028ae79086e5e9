"""Cases of the rules that decide on memberships, in the order of the text."""

from collections.abc import Sequence

import nacl.signing

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import KeyId
from homeserver.protocol.signing import SigningKey
from tests.protocol.rooms.judged_events import KEY, PUBLIC, Make, by_mail, join, member
from tests.protocol.rooms.room import ALICE, BART, BOB, CAROL, DAN, INA, OLIVE, Room

VIA = "join_authorised_via_users_server"
URL_SAFE = str.maketrans("+/", "-_")
OTHER_KEY = SigningKey(KeyId("ed25519:0"), nacl.signing.SigningKey(b"o" * 32))

SIGNATURE = encode_base64(KEY.sign(b'{"mxid":"@olive:o.example","token":"t"}'))


def after_create(user: str) -> Make:
    """A join right after the create event."""

    def make(room: Room) -> Event:
        room.last = [room.create]
        room.without("m.room.member", ALICE)
        return room.membership(user, user, "join")

    return make


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


# What decides, whether it allows, what it decides on; the room versions if not all.
MEMBERSHIPS: list[tuple[str, bool, Make, Sequence[int]]] = [
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
]
