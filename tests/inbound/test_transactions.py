"""What becomes of a transaction, and of each PDU in it."""

import sqlite3
from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Events
from homeserver.inbound import transactions
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol import signing
from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import (
    Json,
    as_list,
    as_object,
    encode,
    encode_base64,
    parse_object,
)
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    LimitExceeded,
    ProtocolError,
)
from homeserver.protocol.events.edus import polled_users
from homeserver.protocol.events.event import (
    content_hash,
    event_id,
    hash_and_sign,
    redact,
)
from homeserver.protocol.events.room_versions import EVENTS_OF_2014, ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Database, Job, StoreUnavailable
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore
from tests.support.as_json import as_json
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.pdus import ROOM, create, message, sign
from tests.support.postgres_server import PostgresDatabase
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    SlowKeys,
    signing_key,
)

_T = TypeVar("_T")

NOW = 1_800_000_000.0
EDU: Json = {"edu_type": "x.test", "content": {"typing": True}}


def origin(peer: Peer = THEM) -> ProvenOrigin:
    """A peer whose request was proven."""
    return ProvenOrigin(peer.server_name, peer.key.key_id)


class FailingDatabase(MemoryDatabase):
    """A store that can be full."""

    is_full = False

    async def write(self, job: Job[_T]) -> _T:
        """Write, unless the store is full."""
        if self.is_full:
            raise StoreUnavailable("full")
        return await super().write(job)


NAMED: Json = {"origin": THEM.server_name.name, "origin_server_ts": 1}
"""What each transaction has beside its content."""


class Inbox:
    """A receiver, and what it recorded."""

    def __init__(
        self,
        keyring: Keyring | None = None,
        database: Database | None = None,
        default_room_version: str = "11",
        *,
        unsigned_2014: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.clock.advance(NOW)
        self.polled: list[tuple[ServerName, list[str]]] = []
        self.keyring = keyring or KnownKeys(THEM, OTHERS)
        self.store = ReceivedStore(
            database or MemoryDatabase(), OUR_NAME, Changes(self.clock)
        )
        events = Events(ROOM_VERSIONS[default_room_version], unsigned_2014)
        pace = Pace(self.clock)
        self.turns = Turns(self.clock, pace)
        self.receiver = TransactionReceiver(
            self.store,
            PduChecker(self.store, self.keyring, self.clock, pace, events),
            self._note_polled,
            self.clock,
            self.turns,
        )

    async def _note_polled(
        self, asker: ServerName, edus: Sequence[Json], _: Cause
    ) -> None:
        polled = [str(user) for edu in edus for user in polled_users(edu)]
        if polled:
            self.polled.append((asker, polled))

    def begin(self, txn_id: str, content: Json, peer: Peer = THEM) -> Deferred[bytes]:
        """Hand a transaction over; the reply to it, when there is one."""
        receiving = Deferred.fromCoroutine(
            self.receiver.receive(origin(peer), txn_id, {**NAMED, **content}, OURSELVES)
        )
        return receiving.addCallback(lambda receipt: receipt.reply)

    def take(self, txn_id: str, *pdus: Json, peer: Peer = THEM) -> Json:
        """Hand a transaction over; the reply to it."""
        content: Json = {**NAMED, "pdus": list(pdus)}
        receiving = self.receiver.receive(origin(peer), txn_id, content, OURSELVES)
        return parse_object(result_of(receiving).reply)

    @property
    def transactions(self) -> list[Json]:
        """What was recorded, oldest first."""
        return [*map(as_json, result_of(self.store.after(0, None, 1000, 0)))]

    @property
    def pdus(self) -> list[Json]:
        """All PDUs that were recorded."""
        listed: list[Json] = []
        for transaction in self.transactions:
            assert isinstance(transaction["pdus"], list)
            listed += transaction["pdus"]
        return listed


def test_remarks() -> None:
    """What the transaction lacks, and what its head has, is remarked."""
    inbox = Inbox()
    odd = Remark("no_sni", "no name")
    proven = ProvenOrigin(THEM.server_name, THEM.key.key_id, remarks=[odd])
    result_of(inbox.receiver.receive(proven, "1", {"pdus": []}, OURSELVES))
    [transaction] = inbox.transactions
    assert transaction["remarks"] == [
        {"code": "no_sni", "text": "no name"},
        {"code": "no_origin", "text": "the transaction has no `origin`"},
        {
            "code": "no_origin_server_ts",
            "text": "the transaction has no `origin_server_ts`",
        },
    ]


def test_transaction_is_recorded() -> None:
    """A transaction is recorded with its origin, its time and what proved it."""
    inbox = Inbox()
    pdu = message()
    proven = ProvenOrigin(THEM.server_name, THEM.key.key_id, "ab" * 32)
    inbox.clock.advance(0.25)
    result_of(
        inbox.receiver.receive(
            proven, "t/1", {**NAMED, "pdus": [pdu], "edus": [EDU]}, OURSELVES
        )
    )
    own_id = event_id(pdu, ROOM_VERSIONS["12"])
    assert inbox.transactions == [
        {
            "id": 1,
            "origin": "them.example",
            "txn_id": "t/1",
            "received_ts": 1_800_000_000_250,
            "verified_by": {
                "key_id": "ed25519:t_1",
                "client_certificate": "ab" * 32,
            },
            "pdus": [
                {
                    "event_id": own_id,
                    "room_version": "11",
                    "room_version_source": "default",
                    "verdict": "accepted",
                    "event": pdu,
                }
            ],
            "edus": [EDU],
            "problems": [],
            "remarks": [],
        }
    ]


def test_what_the_body_says_of_itself() -> None:
    """Origin and ID are those that were proven, whatever else the body says."""
    inbox = Inbox()
    content: Json = {
        "pdus": [],
        "origin": "others.example:8449",
        "transaction_id": "2",
        "origin_server_ts": 5,
    }
    result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    [recorded] = inbox.transactions
    assert (recorded["origin"], recorded["txn_id"]) == ("them.example", "1")
    assert recorded["received_ts"] == 1_800_000_000_000
    assert recorded["problems"] == [
        "`origin` is 'others.example:8449', but them.example signed the request"
    ]


@pytest.mark.parametrize("claimed", [None, [], {}, 5, "", "them.example"])
def test_any_origin_in_the_body(claimed: object) -> None:
    """Whatever a body says of its origin is told, unless it is right or nothing."""
    inbox = Inbox()
    result_of(
        inbox.receiver.receive(
            origin(), "1", {"pdus": [], "origin": claimed}, OURSELVES
        )
    )
    [recorded] = inbox.transactions
    assert bool(recorded["problems"]) == (claimed not in [None, "them.example"])


def test_empty_transaction() -> None:
    """A transaction with nothing in it is recorded like any other."""
    inbox = Inbox()
    assert inbox.take("1") == {"pdus": {}}
    assert len(inbox.transactions) == 1


def test_reply_says_what_became_of_each_pdu() -> None:
    """The reply has the event ID of each PDU, and of a rejected one the reason."""
    inbox = Inbox()
    good, bad = message(), message(depth=4) | {"signatures": {}}
    assert inbox.take("1", good, bad) == {
        "pdus": {
            event_id(good, ROOM_VERSIONS["12"]): {},
            event_id(bad, ROOM_VERSIONS["12"]): {"error": inbox.pdus[1]["verdict"]},
        }
    }


def changed(pdu: Json, **changes: object) -> Json:
    """The PDU, changed after it was signed; None takes a member away."""
    return {k: v for k, v in (pdu | changes).items() if v is not None}


STRANGER = Peer(ServerName.parse("stranger.example"), THEM.key)
IMPOSTOR = Peer(THEM.server_name, OTHERS.key)
INVITE: Json = {"membership": "invite", "third_party_invite": {"signed": {}}}
JOIN: Json = {
    "membership": "join",
    "join_authorised_via_users_server": f"@b:{OTHERS.server_name}",
}


def member(content: Json, *peers: Peer, event_id: str | None = None) -> Json:
    """A membership of room version 10, or with an ID of 2, signed by servers."""
    version = "10" if event_id is None else "2"
    unsigned = changed(
        message(version, content=content, type="m.room.member", state_key="@a:x.org"),
        signatures=None,
        prev_state=[],
        event_id=event_id,
    )
    return sign(unsigned, version, *peers)


CONTENT_HASH = encode_base64(content_hash(message()))


def hashed(text: str) -> Json:
    """A message whose server signed `text` as its content hash."""
    pdu = changed(message(), signatures=None, hashes={"sha256": text})
    redacted = redact(pdu, ROOM_VERSIONS["12"])
    signed = signing.sign(redacted, THEM.server_name, [THEM.key])
    return pdu | {"signatures": signed["signatures"]}


# A PDU, what we make of it, and the version that it is judged by; None where it may be
# of several and fits none.
VERDICTS: list[tuple[str, Json, str, str | None]] = [
    *[
        (f"a message of version {version}", message(version), "accepted", "11")
        for version in ("11", "12")
    ],
    ("one with an `origin`", message("10", origin="them.example"), "accepted", "10"),
    ("one with an ID", message("2"), "accepted", "2"),
    *[
        (f"the create event of version {v}", create(v), "accepted", v)
        for v in ROOM_VERSIONS
    ],
    ("with a padded hash", hashed(CONTENT_HASH + "="), "accepted", "11"),
    ("with a hash of nothing", hashed(""), "redacted: content hash", "11"),
    ("with a hash of no base64", hashed("!"), "redacted: content hash", "11"),
    (
        "another body than was hashed",
        changed(message(), content={"body": "goodbye"}),
        "redacted: content hash",
        "11",
    ),
    (
        "a member that was not hashed",
        changed(message(), more="x"),
        "redacted: content hash",
        "11",
    ),
    (
        "a member that is kept, changed",
        changed(message(), depth=4),
        "rejected: signature does not verify: ed25519:t_1 over event $",
        None,
    ),
    (
        "not signed",
        changed(message(), signatures={}),
        "rejected: event $",
        None,
    ),
    (
        "signed by another server",
        sign(changed(message(), signatures=None), "12", OTHERS),
        "rejected: event $",
        None,
    ),
    (
        "signed by a server that nobody knows",
        message(peer=STRANGER),
        "rejected: event $",
        None,
    ),
    (
        "signed with another server's key",
        message(peer=IMPOSTOR),
        "rejected: event $",
        None,
    ),
    (
        "a signature of no base64",
        changed(message(), signatures={"them.example": {"ed25519:t_1": "!"}}),
        "rejected: not base64",
        None,
    ),
    (
        "signatures of another shape",
        changed(message(), signatures={"them.example": []}),
        "rejected: `signatures` of them.example is not a JSON object",
        None,
    ),
    ("an event of others, sent on", message(peer=OTHERS), "accepted", "11"),
    (
        "an event ID of others",
        message("2", event_id="$e:others.example:8449"),
        "rejected: event $e:others.example:8449 by others.example:8449 is not signed",
        "2",
    ),
    (
        "an event ID of others, signed by them",
        sign(message("2", event_id="$e:others.example:8449"), "2", OTHERS),
        "accepted",
        "2",
    ),
    (
        "a join that others have to allow",
        member(JOIN, THEM),
        "rejected: event $",
        None,
    ),
    ("a join that others have allowed", member(JOIN, THEM, OTHERS), "accepted", "10"),
    (
        "a join that others have allowed, not signed by its own server",
        member(JOIN, OTHERS),
        "rejected: signature does not verify: ed25519:o_1 over event $",
        None,
    ),
    ("an invitation by a third party", member(INVITE, THEM), "accepted", "10"),
    ("one that its sender did not sign", member(INVITE, OTHERS), "accepted", "11"),
    (
        "one that its sender signed with another key",
        member(INVITE, IMPOSTOR),
        "accepted: a third-party invite needs no signature; event $",
        "11",
    ),
    (
        "one that was changed where only its sender's signature tells",
        member(INVITE, THEM) | {"depth": 4},
        "redacted: content hash; a third-party invite needs no signature; signature ",
        "11",
    ),
    (
        "one that was changed",
        member(INVITE, THEM) | {"more": "x"},
        "redacted: content hash",
        "10",
    ),
    (
        "one of version 2 with an ID of others",
        member(INVITE, THEM, event_id="$e:others.example:8449"),
        "rejected: event $e:others.example:8449 by others.example:8449 is not signed",
        "2",
    ),
    (
        "one of version 2 with an ID of others, signed by them",
        member(INVITE, OTHERS, event_id="$e:others.example:8449"),
        "accepted",
        "2",
    ),
    (
        "one of version 2 with an ID of its sender's server, signed by others",
        member(INVITE, OTHERS, event_id="$e:them.example"),
        "rejected: event $e:them.example by them.example is not signed",
        "2",
    ),
    (
        "an unsigned invitation that is none by a third party",
        member({"membership": "invite"}, OTHERS),
        "rejected: event $",
        None,
    ),
    (
        "without a depth",
        message(depth=None),
        "rejected: `depth` is not an integer",
        None,
    ),
    (
        "a float",
        message(content={"x": 1.5}),
        "accepted",
        "5",
    ),
    (
        "too large",
        message(content={"x": "y" * 65536}),
        "rejected: the PDU has ",
        None,
    ),
    (
        "without a room",
        message(room_id=None),
        "rejected: `room_id` is not a string",
        None,
    ),
    (
        "a room that is a number",
        message(room_id=5),
        "rejected: `room_id` is not a string",
        None,
    ),
    (
        "a create event that names its room",
        create(room_id=ROOM),
        "rejected: a create event of room version 12 must not have a `room_id`",
        "12",
    ),
]


@pytest.mark.parametrize(
    ("pdu", "verdict", "version"),
    [row[1:] for row in VERDICTS],
    ids=[row[0] for row in VERDICTS],
)
def test_verdict(pdu: Json, verdict: str, version: str | None) -> None:
    """A PDU is accepted, redacted or rejected, and is recorded and replied so."""
    inbox = Inbox()
    reply = as_object(inbox.take("1", pdu)["pdus"], "`pdus`")
    [recorded] = inbox.pdus
    given = str(recorded["verdict"])
    assert given.startswith(verdict)
    assert given == verdict or verdict != "accepted"
    assert recorded["room_version"] == version
    assert (recorded["room_version_source"] is None) == (version is None)
    own_id = event_id(pdu, ROOM_VERSIONS[version or "11"])
    assert recorded["event_id"] == own_id
    assert reply == {own_id: {"error": given} if "rejected" in given else {}}
    if verdict.startswith("redacted"):
        assert recorded["event"] == redact(pdu, ROOM_VERSIONS[str(version)])
    else:
        assert recorded["event"] == pdu


NAMELESS: list[tuple[str, Json, str, str | None]] = [
    (
        "an unknown room version",
        create(content={"room_version": "99"}),
        "rejected: unknown room version '99'",
        None,
    ),
    (
        "a room version that is a number",
        create(content={"room_version": 12}),
        "rejected: unknown room version 12",
        None,
    ),
    (
        "an event ID that is none",
        message("2", event_id="nonsense"),
        "rejected: not an event ID",
        "2",
    ),
    (
        "an event ID that is a number",
        message("2", event_id=5),
        "rejected: `event_id` is not a string",
        "2",
    ),
]


@pytest.mark.parametrize(
    ("pdu", "verdict", "version"),
    [row[1:] for row in NAMELESS],
    ids=[row[0] for row in NAMELESS],
)
def test_pdu_without_an_event_id(pdu: Json, verdict: str, version: str | None) -> None:
    """A PDU of which no event ID can be told is recorded, but not replied."""
    inbox = Inbox()
    assert inbox.take("1", pdu) == {"pdus": {}}
    [recorded] = inbox.pdus
    assert str(recorded["verdict"]).startswith(verdict)
    assert (recorded["event_id"], recorded["room_version"]) == (None, version)
    assert recorded["event"] == pdu


def test_one_bad_pdu_is_no_other_ones_error() -> None:
    """Every PDU is judged by itself."""
    inbox = Inbox()
    inbox.take("1", {}, message(), {"type": 5, "room_id": []}, message(depth=9))
    verdicts = [str(pdu["verdict"]).partition(":")[0] for pdu in inbox.pdus]
    assert verdicts == ["rejected", "accepted", "rejected", "accepted"]


BIG = 2**64

# PDUs as they are written in a transaction, beside good ones: what is wrong, the
# verdict, whether there is an event ID, and what is recorded.
FLAWED_PDUS: list[tuple[object, str, bool]] = [
    (5, "the PDU is not a JSON object", False),
    (None, "the PDU is not a JSON object", False),
    ([message()], "the PDU is not a JSON object", False),
    (FlawedItem(message(content={"x": BIG}), "p", "{TEXT}"), "p", True),
    (FlawedItem(message(depth=BIG), "p", "{TEXT}"), "p", True),
    (FlawedItem({"event_id": 5}, "p", "{TEXT}"), "p", False),
    (FlawedItem(message(depth=11), "p", "T" * 65536), "p", True),
    (FlawedItem(message(depth=11), "p", "T" * 65537), "p", False),
    (FlawedItem(create(), "p", "{TEXT}"), "p", True),
    (
        FlawedItem({"pdu_id": "", "context": "", "pdu_type": ""}, "p", "{TEXT}"),
        "p",
        True,
    ),
]


@pytest.mark.parametrize(("pdu", "problem", "has_id"), FLAWED_PDUS)
def test_flawed_pdu(pdu: object, problem: str, has_id: bool) -> None:  # noqa: FBT001
    """It is rejected and recorded as text; the reply has it if it has an ID."""
    inbox = Inbox()
    first, last = message(), message(depth=9)
    content: Json = {"pdus": [first, pdu, last], "edus": [EDU]}
    begun = inbox.begin("1", content)
    assert isinstance(begun.result, bytes)
    reply = as_object(parse_object(begun.result)["pdus"], "`pdus`")
    [good, flawed, other] = inbox.pdus
    assert (good["verdict"], other["verdict"]) == ("accepted", "accepted")
    assert flawed["verdict"] == f"rejected: {problem}"
    assert (flawed["room_version"], flawed["room_version_source"]) == (None, None)
    text = pdu.text if isinstance(pdu, FlawedItem) else encode(pdu).decode()
    assert flawed["event"] == text
    assert len(reply) == 2 + has_id
    if has_id:
        assert isinstance(pdu, FlawedItem)
        version = "12" if pdu.get("type") == "m.room.create" else "11"
        assert flawed["event_id"] == event_id(pdu, ROOM_VERSIONS[version])
        assert reply[str(flawed["event_id"])] == {"error": flawed["verdict"]}
    else:
        assert flawed["event_id"] is None


def test_flawed_edus() -> None:
    """An EDU that cannot be read is a problem of its transaction, and not recorded."""
    inbox = Inbox()
    flawed = FlawedItem({"edu_type": "m.x", "content": {}}, "twice", '{"a":1,"a":2}')
    edus: list[object] = [EDU, 5, {"content": {}}, {"edu_type": "m"}, flawed, EDU]
    inbox.begin("1", {"pdus": [message()], "edus": edus})
    [recorded] = inbox.transactions
    assert recorded["edus"] == [EDU, EDU]
    assert recorded["problems"] == [
        "EDU 1: the EDU is not a JSON object: '5'",
        "EDU 2: `edu_type` of the EDU is not a string: '{\"content\":{}}'",
        'EDU 3: `content` of the EDU is not a JSON object: \'{"edu_type":"m"}\'',
        'EDU 4: twice: \'{"a":1,"a":2}\'',
    ]
    assert inbox.pdus[0]["verdict"] == "accepted"


def test_keys_are_of_the_time_of_the_event() -> None:
    """A key is asked for with the time and the room version of its event."""
    keyring = KnownKeys(THEM)
    Inbox(keyring).take("1", message(origin_server_ts=5), message("2"))
    assert set(keyring.asked) == {
        (THEM.server_name, 5, "11"),
        (THEM.server_name, 1_700_000_000_000, "2"),
    }


def founded(*creates: Json, peer: Peer = THEM, room_id: str = ROOM) -> object:
    """The version that a later event of a room is judged by."""
    inbox = Inbox()
    for number, pdu in enumerate(creates):
        inbox.take(f"c{number}", pdu, peer=peer)
    inbox.take("m", message("6", room_id=room_id))
    return inbox.pdus[-1]["room_version"]


FOUNDING: list[tuple[str, list[Json], str]] = [
    ("nothing", [], "11"),
    ("a create event", [create("6")], "6"),
    ("one of before room versions", [create("1", content={"creator": "@a:x"})], "1"),
    ("two of them", [create("6"), create("7", depth=1)], "6"),
    ("one of another server", [create("6", OTHERS)], "11"),
    ("one that is not signed", [create("6") | {"signatures": {}}], "11"),
    ("one that was changed", [create("6") | {"more": "x"}], "11"),
    ("one that follows another event", [create("6", prev_events=["$x"])], "11"),
    ("one with a state key", [create("6", state_key="x")], "11"),
    ("one without a state key", [create("6", state_key=None)], "11"),
    ("one of another room", [create("6", room_id="!s:them.example")], "11"),
    ("another event", [message("6", content={"room_version": "6"})], "11"),
]


@pytest.mark.parametrize(
    ("creates", "version"),
    [row[1:] for row in FOUNDING],
    ids=[row[0] for row in FOUNDING],
)
def test_founding(creates: list[Json], version: str) -> None:
    """A room is of the version that its own server's first create event says."""
    assert founded(*creates) == version


# Version 11 redacts it as no version before does.
REDACTION = message(
    "11",
    type="m.room.redaction",
    content={"redacts": "$x"},
)

OLD = message("11", origin="them.example", prev_state=[], membership="join")

# The default of the configuration, what came, and what the last PDU's version is and
# rests on.
SOURCES: list[tuple[str, str, list[Json], str, str]] = [
    ("the default", "11", [message("11")], "11", "default"),
    ("another default", "9", [message("9")], "9", "default"),
    ("a default that was not signed by", "9", [REDACTION], "11", "event format"),
    ("a default that the form excludes", "12", [message("11")], "11", "event format"),
    ("a create event", "11", [create("6")], "6", "create event"),
    ("a known room", "11", [create("6"), message("6")], "6", "create event"),
    (
        "a room of version 12",
        "11",
        [message("12", room_id="!" + "a" * 43)],
        "12",
        "event format",
    ),
    ("an ID of 3, which only the default tells", "3", [message("3")], "3", "default"),
    ("an old member, as gomatrixserverlib has", "9", [OLD], "11", "event format"),
]


@pytest.mark.parametrize(
    ("default", "pdus", "version", "source"),
    [row[1:] for row in SOURCES],
    ids=[row[0] for row in SOURCES],
)
def test_source_of_a_version(
    default: str, pdus: list[Json], version: str, source: str
) -> None:
    """Of each PDU it is recorded what its room version rests on."""
    inbox = Inbox(default_room_version=default)
    inbox.take("1", *pdus)
    last = inbox.pdus[-1]
    assert (last["room_version"], last["room_version_source"]) == (version, source)
    own_id = event_id(pdus[-1], ROOM_VERSIONS[version])
    assert last["event_id"] == own_id


def test_foreign_create_sent_on_founds() -> None:
    """It matters who signed the create event, not who delivered it."""
    assert founded(create("6"), peer=OTHERS) == "6"


def test_create_of_version_12_founds_the_room_of_its_hash() -> None:
    """A room of version 12 is called as its create event is, and of that version."""
    inbox = Inbox()
    pdu = create("12")
    inbox.take("c", pdu)
    room_id = "!" + event_id(pdu, ROOM_VERSIONS["12"])[1:]
    # The same event, but for its `origin`, would be of version 10 at most.
    inbox.take("m", message("12", room_id=room_id, origin="them.example"))
    assert inbox.pdus[1]["room_version"] == "12"
    assert inbox.pdus[1]["verdict"] == "accepted"


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize(
    "members",
    [{}, {"origin": "them.example", "prev_state": [], "membership": "join"}],
    ids=["as specified", "as gomatrixserverlib and Conduit send them"],
)
def test_every_version_without_its_create_event(version: str, members: Json) -> None:
    """An event of any version is accepted in a room that is not known here."""
    room_id = "!" + "a" * 43 if version == "12" else ROOM
    pdu = message(
        version,
        type="m.room.power_levels",
        state_key="",
        content={"invite": 5, "ban": 5},
        room_id=room_id,
        signatures=None,
    )
    pdu = sign(pdu | members, version, THEM)
    for default in ROOM_VERSIONS:
        inbox = Inbox(default_room_version=default)
        inbox.take("1", pdu)
        [recorded] = inbox.pdus
        assert recorded["verdict"] == "accepted"
        # No member of an event tells 3 from 4 and 5, nor 1 from 2.
        given = ROOM_VERSIONS[str(recorded["room_version"])]
        assert redact(pdu, given) == redact(pdu, ROOM_VERSIONS[version])


def test_an_event_that_fits_no_version() -> None:
    """It is told in which versions it was tried, and is not said to be of one."""
    inbox = Inbox()
    inbox.take("1", changed(message("9", content={"x": 1.5}), depth=4))
    [recorded] = inbox.pdus
    assert (recorded["room_version"], recorded["room_version_source"]) == (None, None)
    own_ids = [
        event_id(recorded["event"], ROOM_VERSIONS[version])
        for version in ("11", "5")
        if isinstance(recorded["event"], dict)
    ]
    assert recorded["event_id"] == own_ids[0]
    assert recorded["verdict"] == (
        "rejected: canonical JSON has no floats: 1.5; or: signature does not verify: "
        f"ed25519:t_1 over event {own_ids[1]} by them.example (checked as of room "
        "versions 11, 10, 8, 7, 5; valid in none; the create event of its room is not "
        "known here)"
    )


# A PDU, and why it is rejected; whether the versions that were tried are told.
TRIED: list[tuple[Json, str, bool]] = [
    (message(depth=None), "`depth` is not an integer", False),
    (message(unsigned=[]), "`unsigned` is not a JSON object", False),
    (message(content={"x": 1.5}, depth=-1), "canonical JSON has no floats: 1.5", True),
    (message() | {"signatures": {}}, "is not signed by a known key", True),
]


@pytest.mark.parametrize(("pdu", "why", "are_told"), TRIED)
def test_versions_are_told_where_they_matter(
    pdu: Json,
    why: str,
    are_told: bool,  # noqa: FBT001 - a row
) -> None:
    """What is wrong in every version alike has nothing to do with them."""
    inbox = Inbox()
    inbox.take("1", pdu)
    verdict = str(inbox.pdus[0]["verdict"])
    assert why in verdict
    assert ("room versions 11, 10, 8, 7, 5" in verdict) == are_told


def unknown_create(
    version: object = "99", form: str = "11", peer: Peer = THEM, **changes: object
) -> Json:
    """A create event that names an unknown version, signed as `form` demands."""
    return create(form, peer, content={"room_version": version}, **changes)


# A create event of an unknown version, and the version of its room that is remembered.
REMEMBERED: list[tuple[str, Json, str | None]] = [
    ("signed as in 11", unknown_create(), "99"),
    ("signed as in 10", unknown_create(form="10"), "99"),
    ("with a name of its own", unknown_create("org.example.msc1-2"), "org.example.ms"),
    ("not signed", unknown_create() | {"signatures": {}}, None),
    ("of another server", unknown_create(peer=OTHERS), None),
    ("that follows another event", unknown_create(prev_events=["$x"]), None),
    ("that was changed", changed(unknown_create(), depth=9), None),
    ("without a depth", unknown_create(depth=None), None),
]


@pytest.mark.parametrize(
    ("pdu", "version"),
    [row[1:] for row in REMEMBERED],
    ids=[row[0] for row in REMEMBERED],
)
def test_room_of_an_unknown_version(pdu: Json, version: str | None) -> None:
    """Its own server's create event says it for all later events of the room."""
    inbox = Inbox()
    inbox.take("1", pdu, message("11"))
    inbox.take("2", message("11", depth=9), create("6"))
    first, *later, last = inbox.pdus
    named = as_object(pdu["content"], "`content`")["room_version"]
    assert str(first["verdict"]).startswith(f"rejected: unknown room version '{named}'")
    assert (first["event_id"], first["room_version"]) == (None, None)
    for each in later:
        if version is None:
            assert each["verdict"] == "accepted"
        else:
            assert str(each["room_version"]).startswith(version)
            assert each["room_version_source"] == "create event"
            assert each["verdict"] == (
                f"rejected: the create event of its room names room version '{named}', "
                "which is not known here"
            )
    assert last["verdict"] == "accepted"


def test_room_of_an_unknown_version_with_the_hash_as_its_id() -> None:
    """A create event without a room ID is remembered by its hash."""
    inbox = Inbox()
    pdu = unknown_create(form="12")
    room_id = "!" + event_id(pdu, ROOM_VERSIONS["12"])[1:]
    inbox.take("1", pdu, message("12", room_id=room_id))
    assert [each["room_version"] for each in inbox.pdus] == [None, "99"]


def test_create_event_of_no_version_in_a_known_room() -> None:
    """What is wrong with it is said of itself, not of its room."""
    inbox = Inbox()
    inbox.take("1", create("6"))
    inbox.take("2", unknown_create(5, depth=3))
    assert inbox.pdus[1]["room_version"] is None
    assert str(inbox.pdus[1]["verdict"]).startswith("rejected: unknown room version 5")


OF_2014: Json = {
    "pdu_id": "x",
    "context": ROOM,
    "pdu_type": "m.room.create",
    "origin": "them.example",
    "user_id": "@a:them.example",
    "content": {"creator": "@a:them.example"},
    "is_state": True,
    "state_key": "",
}
UNSIGNED = "unsigned: of 2014, by its transaction's origin alone"

# An unsigned PDU, who sends it, whether those are taken, and the verdict on it.
UNSIGNED_PDUS: list[tuple[Json, Peer, bool, str]] = [
    (OF_2014, THEM, True, UNSIGNED),
    (OF_2014 | {"type": "m.room.create", "content": {}}, THEM, True, UNSIGNED),
    (
        OF_2014,
        OTHERS,
        True,
        "rejected: an unsigned PDU of 2014 is accepted from its own",
    ),
    (OF_2014 | {"content": []}, THEM, True, "rejected: `content` is not a JSON object"),
    (OF_2014, THEM, False, "rejected: unsigned PDUs of 2014 are not accepted here"),
    (
        OF_2014 | {"event_id": "$e:them.example"},
        THEM,
        True,
        "rejected: `signatures` is not ",
    ),
    (OF_2014 | {"room_id": ROOM}, THEM, True, "rejected: `signatures` is not "),
]


@pytest.mark.parametrize(("pdu", "peer", "are_taken", "verdict"), UNSIGNED_PDUS)
def test_unsigned_pdu_of_2014(
    pdu: Json,
    peer: Peer,
    are_taken: bool,  # noqa: FBT001 - a row
    verdict: str,
) -> None:
    """It rests on its transaction's origin, and is no event of a room."""
    inbox = Inbox(unsigned_2014=are_taken)
    reply = inbox.take("1", pdu, message("11"), peer=peer)
    unsigned, later = inbox.pdus
    assert str(unsigned["verdict"]).startswith(verdict)
    assert unsigned["event"] == pdu
    assert (later["verdict"], later["room_version"]) == ("accepted", "11")
    is_event = bool({"event_id", "room_id"} & pdu.keys())
    assert (unsigned["event_id"] is not None) == is_event
    assert len(as_object(reply["pdus"], "`pdus`")) == 1 + is_event


@pytest.mark.parametrize("version", [None, "1", "2"])
def test_event_of_2014_that_is_signed(version: str | None) -> None:
    """What Synapse 0.5 signed is accepted, but not in rooms of later versions."""
    pdu = message(
        "1",
        type="m.room.history_visibility",
        state_key="",
        content={"history_visibility": "shared"},
        membership="join",
        signatures=None,
    )
    signed = hash_and_sign(pdu, EVENTS_OF_2014, THEM.server_name, [THEM.key])
    inbox = Inbox()
    creates = [] if version is None else [create(version)]
    inbox.take("1", *creates, signed)
    last = inbox.pdus[-1]
    if version == "2":
        assert str(last["verdict"]).startswith("rejected: signature does not verify")
    else:
        source = "event format" if version is None else "create event"
        assert (last["verdict"], last["room_version"]) == ("accepted", "1")
        assert last["room_version_source"] == source


def test_events_that_come_with_the_create_event() -> None:
    """A create event counts for all events of its room in the same transaction."""
    inbox = Inbox()
    levels = message("6", type="m.room.power_levels", content={"invite": 5, "ban": 5})
    inbox.take("1", levels, create("6"), levels)
    assert [pdu["room_version"] for pdu in inbox.pdus] == ["6", "6", "6"]
    assert inbox.pdus[2]["verdict"] == "accepted"


def test_first_create_event_of_a_transaction_counts() -> None:
    """Two create events of a room in one transaction are as two in two of them."""
    inbox = Inbox()
    inbox.take("1", create("6"), create("7", depth=1), message("6"))
    assert inbox.pdus[2]["room_version"] == "6"
    inbox.take("2", message("6"))
    assert inbox.pdus[3]["room_version"] == "6"


class RepeatedTests(SynchronousTestCase):
    """The same transaction again."""

    def test_same_reply(self) -> None:
        """A transaction that is repeated gets the same bytes, and nothing is done."""
        inbox = Inbox()
        pdus = [message(), message(depth=-1)]
        first = self.successResultOf(inbox.begin("1", {"pdus": pdus}))
        assert isinstance(inbox.keyring, KnownKeys)
        inbox.keyring.asked.clear()
        again = self.successResultOf(inbox.begin("1", {"pdus": pdus}))
        self.assertEqual(again, first)
        self.assertEqual(len(inbox.transactions), 1)
        self.assertEqual(inbox.keyring.asked, [])

    def test_same_id_of_another_origin(self) -> None:
        """Each origin has IDs of its own."""
        inbox = Inbox()
        self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        reply = self.successResultOf(inbox.begin("1", {"pdus": []}, OTHERS))
        self.assertEqual(reply, b'{"pdus":{}}')
        self.assertEqual(len(inbox.transactions), 2)

    def test_after_a_restart(self) -> None:
        """What was replied is known to the next process too."""
        inbox = Inbox()
        first = self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        pace = Pace(inbox.clock)
        inbox.receiver = TransactionReceiver(
            inbox.store,
            PduChecker(inbox.store, KnownKeys(), inbox.clock, pace, Events()),
            inbox._note_polled,
            inbox.clock,
            Turns(inbox.clock, pace),
        )
        again = self.successResultOf(inbox.begin("1", {"pdus": [message()]}))
        self.assertEqual(again, first)

    def test_recorded_by_another_process_meanwhile(self) -> None:
        """Where two processes share a store, both give the reply that is in it."""
        database = MemoryDatabase()
        slow, fast = Inbox(SlowKeys(THEM), database), Inbox(None, database)
        late = slow.begin("1", {"pdus": [message()]})
        first = self.successResultOf(fast.begin("1", {"pdus": [message()]}))
        assert isinstance(slow.keyring, SlowKeys)
        slow.keyring.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(late), first)
        self.assertEqual(len(fast.transactions), 1)


def said(*bodies: str) -> list[Json]:
    """Messages that say these."""
    return [message(content={"body": body}) for body in bodies]


def edu(number: int) -> Json:
    """An EDU of its own."""
    return {"edu_type": "x.test", "content": {"number": number}}


class OtherContentTests(SynchronousTestCase):
    """The same transaction ID with other content, as Dendrite sends it."""

    database: ImmediateDatabase

    @pytest.fixture(autouse=True)
    def _open(self) -> None:
        self.database = MemoryDatabase()

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.inbox = Inbox(database=self.database)

    def take(
        self, pdus: Sequence[Json], edus: Sequence[Json] = (), **more: object
    ) -> bytes:
        """Hand over a content of the one transaction; the reply to it."""
        content: Json = {"pdus": list(pdus), "edus": list(edus), **more}
        return self.successResultOf(self.inbox.begin("1", content))

    def recorded(self) -> list[tuple[int, ...]]:
        """How many PDUs, EDUs and remarks each recorded transaction has."""
        return [
            tuple(len(as_list(each[k], k)) for k in ("pdus", "edus", "remarks"))
            for each in self.inbox.transactions
        ]

    def test_more_pdus_than_before(self) -> None:
        """New ones are recorded, all are answered, each content has its own reply."""
        pdus = said("1", "2", "3")
        bad = message(depth=-1)
        ids = [event_id(pdu, ROOM_VERSIONS["11"]) for pdu in pdus]
        replies = [self.take([*pdus[:n], bad], [edu(1)]) for n in (1, 2, 3)]
        for n, reply in enumerate(replies, 1):
            answered = as_object(parse_object(reply)["pdus"], "pdus")
            assert answered.keys() == {*ids[:n]} | set(answered) - {*ids}
            assert [answered[each] for each in ids[:n]] == [{}] * n
        assert self.recorded() == [(2, 1, 0), (1, 0, 1), (1, 0, 1)]
        listed = self.inbox.transactions
        assert [each["txn_id"] for each in listed] == ["1"] * 3
        remark = (
            "the transaction ID was used before with other content; 1 of 3 "
            "PDUs and 0 of 1 EDUs are new"
        )
        assert listed[1]["remarks"] == [{"code": "repeated_id", "text": remark}]
        again = [self.take([*pdus[:n], bad], [edu(1)]) for n in (1, 2, 3)]
        assert again == replies
        assert len(self.recorded()) == 3

    def test_after_a_restart(self) -> None:
        """What is known is known to the next process."""
        first = self.take(said("1"), [edu(1)])
        self.inbox = Inbox(database=self.database)
        second = self.take(said("1", "2"), [edu(1), edu(2)])
        self.inbox = Inbox(database=self.database)
        assert self.take(said("1"), [edu(1)]) == first
        assert self.take(said("1", "2"), [edu(1), edu(2)]) == second
        assert self.recorded() == [(1, 1, 0), (1, 1, 1)]

    def test_nothing_new(self) -> None:
        """A part of what came before is answered, and not recorded again."""
        self.take(said("1", "2"), [edu(1), edu(2)])
        reply = self.take(said("2"), [edu(2)])
        [answered] = as_object(parse_object(reply)["pdus"], "pdus")
        assert answered == event_id(said("2")[0], ROOM_VERSIONS["11"])
        assert self.recorded() == [(2, 2, 0), (0, 0, 1)]

    def test_another_time(self) -> None:
        """What is in the envelope beside PDUs and EDUs makes no other content."""
        first = self.take(said("1"), origin_server_ts=1, origin=str(THEM.server_name))
        assert self.take(said("1"), origin_server_ts=2) == first
        assert self.recorded() == [(1, 0, 0)]

    def test_pdus_that_are_edus(self) -> None:
        """In which list an item stands belongs to the content."""
        self.take([], [EDU, EDU])
        self.take([EDU], [EDU])
        assert self.recorded() == [(0, 2, 0), (1, 0, 1)]

    def test_equal_edus(self) -> None:
        """Of equal EDUs those are new that are more than before."""
        self.take([], [edu(1)])
        self.take([], [edu(1)] * 3)
        assert self.recorded() == [(0, 1, 0), (0, 2, 1)]

    def test_another_copy_of_an_event(self) -> None:
        """A copy of the same ID with other bytes is looked at, and recorded."""
        pdu = message()
        self.take([pdu])
        self.take([pdu | {"unsigned": {"age": 1}}])
        assert self.recorded() == [(1, 0, 0), (1, 0, 1)]

    def test_verdict_of_before(self) -> None:
        """A PDU that is known gets the answer that it had, whatever was learned."""
        stranger = Peer(ServerName.parse("late.example"), signing_key("l_1", b"7"))
        pdus = [message(peer=stranger)]
        first = parse_object(self.take(pdus))
        self.inbox = Inbox(KnownKeys(THEM, stranger), self.database)
        second = parse_object(self.take([*pdus, *said("2")]))
        name = event_id(pdus[0], ROOM_VERSIONS["11"])
        answers = [as_object(each["pdus"], "pdus")[name] for each in (first, second)]
        assert answers[0] == answers[1] != {}
        assert self.recorded() == [(1, 0, 0), (1, 0, 1)]

    def test_polls(self) -> None:
        """A poll for presence is answered once."""
        poll: Json = {
            "edu_type": "m.presence",
            "content": {"poll": ["@b:us.example"]},
        }
        self.take([], [poll])
        self.take(said("1"), [poll])
        assert len(self.inbox.polled) == 1

    def test_nonsense(self) -> None:
        """Other content has to be a transaction."""
        self.take(said("1"))
        contents: list[Json] = [{}, {"pdus": 5}]
        for content in contents:
            self.failureResultOf(self.inbox.begin("1", content), ProtocolError)
        assert self.recorded() == [(1, 0, 0)]

    def test_too_many(self) -> None:
        """An ID has no more than so many contents, and those go on being answered."""
        self.patch(transactions, "MAX_CONTENTS", 3)
        replies = [self.take(said(str(number))) for number in range(3)]
        self.failureResultOf(self.inbox.begin("1", {"pdus": said("3")}), InvalidParam)
        assert [self.take(said(str(number)), []) for number in range(3)] == replies
        assert self.recorded() == [(1, 0, 0), (1, 0, 1), (1, 0, 1)]

    def test_another_process_meanwhile(self) -> None:
        """Of two processes that share a store, the later one knows what is new."""
        slow, fast = Inbox(SlowKeys(THEM), self.database), self.inbox
        late = slow.begin("1", {"pdus": said("1", "2"), "edus": [edu(1), edu(2)]})
        self.take(said("1"), [edu(1)])
        assert isinstance(slow.keyring, SlowKeys)
        while not late.called:
            slow.keyring.waiting.pop(0).callback(None)
        answered = as_object(parse_object(self.successResultOf(late))["pdus"], "pdus")
        assert len(answered) == 2
        assert fast.transactions == slow.transactions
        assert self.recorded() == [(1, 1, 0), (1, 1, 1)]


class PostgresOtherContentTests(OtherContentTests):
    """The same, in PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _open(self, postgres_database: PostgresDatabase) -> None:
        postgres_database.empty()
        self.database = postgres_database


class SlowClock(Clock):
    """A clock that goes on by a millisecond whenever it is read."""

    def seconds(self) -> float:
        """The time, which passes meanwhile."""
        self.rightNow += 0.001
        return self.rightNow


def test_a_short_transaction_among_long_ones() -> None:
    """A transaction is one work: a short one is over soon, whatever long ones do."""
    clock = SlowClock()
    inbox = Inbox(clock=clock)
    seconds: dict[str, float] = {}

    def begin(name: str, count: int) -> None:
        proven = ProvenOrigin(ServerName.parse(name), THEM.key.key_id)
        content: Json = {**NAMED, "pdus": [], "edus": [*map(edu, range(count))]}
        receiving = inbox.receiver.receive(proven, "1", content, OURSELVES)
        began = clock.rightNow

        def note(_: object) -> None:
            seconds[name] = clock.rightNow - began

        Deferred.fromCoroutine(receiving).addCallback(note)

    for number in range(8):
        begin(f"{number}.test", 100)
    clock.callLater(0.5, begin, "short.test", 10)
    while clock.getDelayedCalls():
        clock.advance(0)
    # A twentieth of their slices takes its turns: every other one, not one of nine.
    assert len(seconds) == 9
    assert seconds["short.test"] < seconds["0.test"] / 20


class TurnTests(SynchronousTestCase):
    """One transaction of an origin at a time."""

    def setUp(self) -> None:
        """Make a receiver whose work can be held up."""
        self.keys = SlowKeys(THEM, OTHERS)
        self.inbox = Inbox(self.keys)

    def _begin(self, txn_id: str, peer: Peer = THEM) -> Deferred[bytes]:
        # Another event each: one that is known is not verified again.
        pdu = message(peer=peer, content={"body": txn_id})
        return self.inbox.begin(txn_id, {"pdus": [pdu]}, peer)

    def test_one_at_a_time(self) -> None:
        """The next transaction of an origin is begun when the first one is done."""
        begun = [self._begin(txn_id) for txn_id in ("1", "2", "3")]
        for number, each in enumerate(begun):
            self.assertNoResult(each)
            self.assertEqual(len(self.keys.waiting), number + 1)
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)
        recorded = [each["txn_id"] for each in self.inbox.transactions]
        self.assertEqual(recorded, ["1", "2", "3"])

    def test_one_at_a_time_among_latecomers(self) -> None:
        """Whoever comes while another one waits, waits too."""
        begun = [self._begin("1"), self._begin("2")]
        self.keys.waiting[0].callback(None)
        self.successResultOf(begun[0])
        begun.append(self._begin("3"))
        self.assertEqual(len(self.keys.waiting), 2)
        self.keys.waiting[1].callback(None)
        self.successResultOf(begun[1])
        self.keys.waiting[2].callback(None)
        self.successResultOf(begun[2])
        self.assertEqual(self.inbox.turns._locks, {})

    def test_repeated_while_it_is_worked_on(self) -> None:
        """A repetition that comes too early waits, and gets the same reply."""
        first, again = self._begin("1"), self._begin("1")
        self.assertNoResult(again)
        self.keys.waiting[0].callback(None)
        self.assertEqual(self.successResultOf(again), self.successResultOf(first))
        self.assertEqual(len(self.keys.waiting), 1)
        self.assertEqual(len(self.inbox.transactions), 1)

    def test_origins_are_independent(self) -> None:
        """No origin waits for another one."""
        first, other = self._begin("1"), self._begin("1", OTHERS)
        self.keys.waiting[1].callback(None)
        self.successResultOf(other)
        self.assertNoResult(first)
        self.keys.waiting[0].callback(None)
        self.successResultOf(first)

    def test_waits_half_a_minute(self) -> None:
        """A transaction whose turn does not come is refused for now.

        The two before it take twenty seconds each, as their keys are not to be had.
        """
        first, second, third = (self._begin(txn_id) for txn_id in "123")
        for _ in range(299):
            self.inbox.clock.advance(0.1)
        self.assertNoResult(third)
        self.inbox.clock.advance(0.2)
        problem = self.failureResultOf(third, LimitExceeded).value
        self.assertEqual((problem.status, problem.errcode), (429, "M_LIMIT_EXCEEDED"))
        self.successResultOf(first)
        self.assertNoResult(second)
        recorded = [each["txn_id"] for each in self.inbox.transactions]
        self.assertEqual(recorded, ["1"])
        self.inbox.clock.advance(20)
        self.successResultOf(second)

    def test_two_wait(self) -> None:
        """A third transaction that would wait is refused at once."""
        bound = self.inbox.turns.bound
        self.assertEqual((bound.use(), bound.limit), (0, 2))
        begun = [self._begin(txn_id) for txn_id in "1234"]
        self.failureResultOf(begun.pop(), LimitExceeded)
        self.assertEqual((bound.use(), bound.refusals), (2, 1))
        for number, each in enumerate(begun):
            self.assertNoResult(each)
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)

    def test_keys_that_come_too_late(self) -> None:
        """Who does not answer for its keys in time has its events rejected, alone."""
        begun = self.inbox.begin(
            "1", {"pdus": [message(), message(peer=OTHERS), message(peer=OTHERS)]}
        )
        self.keys.waiting[0].callback(None)
        self.inbox.clock.advance(20)
        self.successResultOf(begun)
        good, *late = [str(pdu["verdict"]) for pdu in self.inbox.pdus]
        self.assertEqual(good, "accepted")
        for verdict in late:
            self.assertIn("timed out fetching the keys of others.example", verdict)

    def test_after_a_refusal(self) -> None:
        """A transaction that was refused for now is taken later."""
        begun = [self._begin(txn_id) for txn_id in "1234"]
        self.failureResultOf(begun.pop(), LimitExceeded)
        for number, each in enumerate(begun):
            self.keys.waiting[number].callback(None)
            self.successResultOf(each)
        again = self._begin("4")
        self.keys.waiting[3].callback(None)
        self.successResultOf(again)

    def test_nothing_piles_up(self) -> None:
        """Of an origin that was served, or refused, nothing is kept in memory."""
        begun = [self._begin(txn_id) for txn_id in ("1", "1", "1", "2")]
        begun.append(self._begin("1", OTHERS))
        for _ in range(9):
            self.inbox.clock.advance(10)
        self.assertTrue(all(each.called for each in begun))
        for each in begun:
            each.addErrback(lambda _: None)
        self.assertEqual(self.inbox.turns._locks, {})
        self.assertEqual(self.inbox.clock.getDelayedCalls(), [])

    def test_waiting_ones_that_end_at_once(self) -> None:
        """Those that waited for the same reply all get it, and leave nothing."""
        begun = [self._begin("1") for _ in range(3)]
        self.keys.waiting[0].callback(None)
        replies = {self.successResultOf(each) for each in begun}
        self.assertEqual(len(replies), 1)
        self.assertEqual(self.inbox.turns._locks, {})

    def test_turn_ends_with_an_error(self) -> None:
        """A transaction that is refused for its form blocks nobody."""
        contents: list[Json] = [{}, {"pdus": 5}]
        for content in contents:
            self.failureResultOf(self.inbox.begin("1", content), BadJson)
        self.assertEqual(self.inbox.turns._locks, {})
        self.successResultOf(self.inbox.begin("1", {"pdus": []}))


class StoreTests(SynchronousTestCase):
    """A store that fails."""

    def test_full_store(self) -> None:
        """What could not be recorded is not replied, and is new the next time."""
        database = FailingDatabase()
        inbox = Inbox(database=database)
        content: Json = {"pdus": [create("6")], "edus": [EDU]}
        database.is_full = True
        self.failureResultOf(inbox.begin("1", content), StoreUnavailable)
        self.assertEqual(inbox.transactions, [])
        database.is_full = False
        self.successResultOf(inbox.begin("1", content))
        self.assertEqual(len(inbox.transactions), 1)

    def test_failure_within_the_commit(self) -> None:
        """A transaction is recorded whole or not at all."""
        database = MemoryDatabase()
        inbox = Inbox(database=database)
        database.connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON rooms"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        begun = inbox.begin("1", {"pdus": [message(), create("6")]})
        self.failureResultOf(begun, sqlite3.IntegrityError)
        self.assertEqual(inbox.transactions, [])


IDS: list[tuple[str, bool]] = [
    ("", False),
    ("x", True),
    ("x" * 1000, True),
    ("\u00e9" * 1000, True),
    ("\u00e9" * 1001, False),
    ("a/b c%2F\u00e4", True),
    ("a\0", False),
]


@pytest.mark.parametrize(("txn_id", "is_good"), IDS)
def test_transaction_ids(txn_id: str, is_good: bool) -> None:  # noqa: FBT001 - a row
    """A transaction's ID is any text of up to 2,000 bytes but for NULs."""
    inbox = Inbox()
    if is_good:
        inbox.take(txn_id)
        assert [each["txn_id"] for each in inbox.transactions] == [txn_id]
    else:
        with pytest.raises(InvalidParam):
            inbox.take(txn_id)
        assert inbox.transactions == []


TOO_MUCH: list[tuple[str, Json]] = [
    ("51 PDUs", {"pdus": [message()] * 51}),
    ("101 EDUs", {"pdus": [], "edus": [EDU] * 101}),
    ("no `pdus`", {"edus": [EDU]}),
]


@pytest.mark.parametrize(
    "content", [row[1] for row in TOO_MUCH], ids=[row[0] for row in TOO_MUCH]
)
def test_bad_transaction(content: Json) -> None:
    """Of a transaction that is refused, nothing is recorded."""
    inbox = Inbox()
    with pytest.raises(BadJson):
        result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    assert inbox.transactions == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)
PDUS: Sequence[Json] = [row[1] for row in VERDICTS + NAMELESS if "large" not in row[0]]


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """A PDU with members changed, taken away or put in."""
    pdu = dict(draw(st.sampled_from(PDUS)))
    for _ in range(draw(st.integers(1, 3))):
        member = draw(st.sampled_from([*sorted(pdu), "redacts", "membership"]))
        if draw(st.booleans()):
            pdu[member] = draw(JSON)
        else:
            pdu.pop(member, None)
    return pdu


@settings(max_examples=200)
@given(st.lists(mutated() | st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
def test_any_pdus_are_judged(pdus: list[Json]) -> None:
    """Whatever is in the PDUs, each gets a verdict and the transaction a reply."""
    inbox = Inbox()
    reply = inbox.take("1", *[parse_object(encode(pdu)) for pdu in pdus])
    assert len(inbox.pdus) == len(pdus)
    named = {pdu["event_id"] for pdu in inbox.pdus} - {None}
    assert as_object(reply["pdus"], "`pdus`").keys() == named


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["pdus", "edus", "origin", "ts"]), JSON))
def test_any_body_is_read_or_refused(content: Json) -> None:
    """Of whatever shape a transaction is, at worst it is a fault of its origin."""
    inbox = Inbox()
    try:
        result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    except ProtocolError as problem:
        assert 400 <= problem.status < 500
        assert inbox.transactions == []
    else:
        assert len(inbox.transactions) == 1


NUL = "a\0:them.example"
WITH_NUL: list[Json] = [
    message(room_id=f"!{NUL}"),
    message(sender=f"@{NUL}", state_key=NUL, type=NUL, redacts=NUL, content={NUL: NUL}),
    message("1", event_id=f"${NUL}"),
    create("11", room_id=f"!{NUL}", content={"room_version": NUL}),
    {"type": "m.room.create", "room_id": NUL, "signatures": {NUL: {NUL: NUL}}},
]


def test_nuls(postgres_database: PostgresDatabase) -> None:
    """What has NULs in it is recorded, though PostgreSQL has none in its texts."""
    postgres_database.empty()
    inbox = Inbox(database=postgres_database)
    edu: Json = {"edu_type": NUL, "content": {NUL: NUL}}
    content: Json = {"pdus": WITH_NUL, "edus": [edu], "origin": NUL}
    result_of(inbox.receiver.receive(origin(), "1", content, OURSELVES))
    assert [pdu["event"] for pdu in inbox.pdus] == WITH_NUL
