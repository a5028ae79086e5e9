"""The record: what is kept, found, waited for and exported."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.lab.record.expect import Expectation, Outcome, expect, quiet
from homeserver.lab.record.har import build_har
from homeserver.lab.record.journal import Journal
from homeserver.lab.record.match import Match
from homeserver.lab.record.record import Record
from homeserver.lab.record.views import view, view_details
from homeserver.net.exchange import MAX_RECORDED_BYTES, Exchange
from homeserver.protocol.remarks import Remark
from tests.support.exchanges import SEND, exchange

PDUS = b'{"pdus":[{"room_id":"!a:x"},{"room_id":"!b:x"},{"room_id":3},{}]}'


def recorded(*exchanges: Exchange, **limits: int) -> Record:
    """A record of some exchanges."""
    record = Record(Clock(), **limits)
    for each in exchanges:
        record.add(each)
    return record


MATCHES: list[tuple[Match, bool]] = [
    (Match(), True),
    (Match(server="a.test"), True),
    (Match(server="b.test"), False),
    (Match(server="*.test", peer="peer.*"), True),
    (Match(server="*.test", peer="other.*"), False),
    (Match(direction="in", kind="request", method="PUT"), True),
    (Match(direction="out"), False),
    (Match(kind="dns"), False),
    (Match(method="P*"), True),
    (Match(method="put"), False),
    (Match(route=SEND), True),
    (Match(path="/_matrix/*/send/*"), True),
    (Match(path="*send"), False),
    (Match(path="*/send/1"), True),
    (Match(path="/*/*/*/*"), True),
    (Match(path="*1*1*"), True),
    (Match(path="*1*1*1*"), False),
    (Match(path="/_matrix/federation/v1/send/1*1"), False),
    (Match(status=200), True),
    (Match(status="200"), True),
    (Match(status="2*"), True),
    (Match(status=401), False),
    (Match(reason="*"), False),
    (Match(txn_id="1"), True),
    (Match(txn_id="1*"), True),
    (Match(txn_id="*11"), False),
    (Match(room_id="!b:x"), True),
    (Match(room_id="!*:x"), True),
    (Match(room_id="!c:x"), False),
]


@pytest.mark.parametrize(("match", "is_meant"), MATCHES)
def test_members_decide_which_exchanges_are_meant(
    match: Match, *, is_meant: bool
) -> None:
    """Every member must match, `*` is any text, and what is absent is not matched."""
    record = recorded(exchange(PDUS))
    [entry] = record.find()
    assert match.matches(entry) is is_meant
    assert (match.differences(entry) == {}) is is_meant


ROOMS: list[tuple[dict[str, Any], bytes, Sequence[str]]] = [
    ({}, PDUS, ["!a:x", "!b:x"]),
    ({}, b'{"pdus":[]}', []),
    ({}, b'{"pdus":3}', []),
    ({}, b"\xff", []),
    ({}, b'{"pdus":[' + b'{"room_id":"!a:x"},' * 500 + b"{}]}", ["!a:x"]),
    ({}, b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", []),
    ({"txn_id": None}, PDUS, ["!a:x", "!b:x"]),
    ({"txn_id": None, "path": "/_matrix/federation/v1/query/x"}, PDUS, []),
    ({"details": None}, PDUS, []),
    ({"path": "/_matrix/federation/v1/state/!c:x", "txn_id": None}, b"", ["!c:x"]),
    ({"path": "/v1/make_join/%21c%3Ax/@u:x"}, b"", ["!c:x"]),
]


@pytest.mark.parametrize(
    ("path", "txn_id"),
    [
        ("/_matrix/federation/v1/send/a%2Fb", "a/b"),
        ("/_matrix/federation/v1/send/a/", "a"),
        ("/_matrix/federation/v1/send/", None),
        ("/_matrix/federation/v1/send/a/b", None),
        ("/_matrix/federation/v2/invite/a", None),
    ],
)
def test_the_transaction_of_a_refused_request(path: str, txn_id: str | None) -> None:
    """A request that is refused early has the ID of its path, and is found by it."""
    record = recorded(exchange(path=path, txn_id=None, status=401))
    [entry] = record.find()
    assert entry.txn_id == txn_id
    assert view(entry).txn_id == (msgspec.UNSET if txn_id is None else txn_id)
    found = list(record.find(Match(txn_id="a/b")))
    assert found == ([entry] if txn_id == "a/b" else [])


@pytest.mark.parametrize(("members", "body", "rooms"), ROOMS)
def test_the_rooms_of_an_exchange(
    members: dict[str, Any], body: bytes, rooms: Sequence[str]
) -> None:
    """A request is about the room of its path, or the rooms of its PDUs."""
    [entry] = recorded(exchange(body, **members)).find()
    assert list(entry.rooms) == list(rooms)


def test_an_enormous_transaction_names_so_many_rooms() -> None:
    """What is kept beside a body is bounded."""
    pdus = ",".join(f'{{"room_id":"!{n}:x"}}' for n in range(1000))
    [entry] = recorded(exchange(f'{{"pdus":[{pdus}]}}'.encode())).find()
    assert len(entry.rooms) == 200


def test_exchanges_are_numbered_and_paged() -> None:
    """IDs grow by one; `after` and `before` are exclusive."""
    record = recorded(*(exchange(txn_id=str(n)) for n in range(5)))
    assert [entry.id for entry in record.find()] == [1, 2, 3, 4, 5]
    assert [entry.id for entry in record.find(after=1, before=4)] == [2, 3]
    assert [entry.id for entry in record.find(Match(txn_id="3"))] == [4]
    assert record.last_id == 5
    third, sixth = record.entry(3), record.entry(6)
    assert third is not None
    assert third.exchange.txn_id == "2"
    assert sixth is None


def test_the_oldest_make_room() -> None:
    """A full record forgets the oldest exchange, and its IDs go on."""
    record = recorded(*(exchange() for _ in range(5)), max_entries=3)
    assert [entry.id for entry in record.find()] == [3, 4, 5]
    assert record.entry(2) is None
    count, _ = record.bounds
    assert (count.use(), count.limit, count.refusals) == (3, 3, 2)


def test_bytes_are_bounded() -> None:
    """Bodies and headers count; the newest exchange stays, however large it is."""
    body = b"x" * 10_000
    record = recorded(*(exchange(body, body) for _ in range(10)), max_bytes=50_000)
    assert [entry.id for entry in record.find()] == [9, 10]
    _, size = record.bounds
    assert size.use() <= size.limit
    record.add(exchange(b"x" * 100_000))
    assert [entry.id for entry in record.find()] == [11]


def test_what_is_forgotten_is_gone() -> None:
    """Exchanges that match are forgotten, with their bytes."""
    record = recorded(exchange(server="a.test"), exchange(server="b.test"))
    assert record.forget(Match(server="a.test")) == 1
    assert [entry.exchange.server for entry in record.find()] == ["b.test"]
    assert record.forget() == 1
    assert [bound.use() for bound in record.bounds] == [0, 0]
    record.add(exchange())
    assert record.last_id == 3


def test_the_control_api_is_not_recorded() -> None:
    """Whoever looks at the record does not see that it is looked at."""
    assert list(recorded(exchange(listener="control")).find()) == []


class Waiting:
    """A record on a clock that the test moves, and a wait on it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.record = Record(self.clock)
        self.results: list[Any] = []

    def start(self, coroutine: Any) -> None:
        """Begin to wait."""
        Deferred.fromCoroutine(coroutine).addBoth(self.results.append)

    @property
    def watches(self) -> int:
        """How many look at the record."""
        return len(self.record._watches)


def test_a_reader_waits_for_the_next_exchange() -> None:
    """A wait ends with the first exchange that matches, and leaves nothing behind."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(waiting.record.wait_for(Match(server="b.test"), 0, 10))
    waiting.record.add(exchange())
    assert waiting.results == []
    waiting.record.add(exchange(server="b.test"))
    assert waiting.results == [None]
    assert waiting.watches == 0


@pytest.mark.parametrize(("after", "seconds"), [(0, 10), (1, 0)])
def test_a_reader_does_not_wait_for_what_is_there(after: int, seconds: float) -> None:
    """What is in the record ends a wait at once, as no time does."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(waiting.record.wait_for(Match(), after, seconds))
    assert waiting.results == [None]


def test_a_wait_ends_with_its_time() -> None:
    """After its seconds a reader gets what there is."""
    waiting = Waiting()
    waiting.start(waiting.record.wait_for(Match(), 0, 10))
    waiting.clock.advance(9.9)
    assert waiting.results == []
    waiting.clock.advance(0.2)
    assert waiting.results == [None]
    assert waiting.watches == 0


def met(waiting: Waiting) -> Outcome:
    """The outcome of an expectation that is over."""
    [outcome] = waiting.results
    assert isinstance(outcome, Outcome)
    assert waiting.watches == 0
    return outcome


def test_what_is_recorded_already_meets_an_expectation() -> None:
    """A test may ask after the fact."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(server="a.test"))))
    outcome = met(waiting)
    assert outcome.is_met
    assert [entry.id for entry in outcome.matched] == [1]


def test_an_expectation_counts_old_and_new_exchanges() -> None:
    """The third exchange that matches meets an expectation of three."""
    waiting = Waiting()
    waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(server="a.test"), 3)))
    for server in ["b.test", "a.test", "c.test"]:
        waiting.record.add(exchange(server=server))
    assert waiting.results == []
    waiting.record.add(exchange())
    assert [entry.id for entry in met(waiting).matched] == [1, 3, 5]


def test_exchanges_before_a_position_do_not_count() -> None:
    """A test that begins late asks for what came after it."""
    waiting = Waiting()
    waiting.record.add(exchange())
    wanted = Expectation(Match(), within=1, after=1)
    waiting.start(expect(waiting.record, wanted))
    assert waiting.results == []
    waiting.clock.advance(1)
    outcome = met(waiting)
    assert (outcome.is_met, outcome.matched, outcome.nearest) == (False, [], [])


def test_a_missed_expectation_names_what_was_nearest() -> None:
    """The fewest differences come first, newer exchanges before older ones."""
    waiting = Waiting()
    seen: list[dict[str, Any]] = [
        {"server": "b.test", "status": 401, "txn_id": "9"},
        {"status": 401},
        {"server": "b.test", "status": 401},
        {"status": None},
    ]
    for members in seen:
        waiting.record.add(exchange(PDUS, **members))
    match = Match(server="a.test", status=200, txn_id="1", room_id="!a:x")
    waiting.start(expect(waiting.record, Expectation(match, within=2)))
    waiting.clock.advance(2)
    outcome = met(waiting)
    assert not outcome.is_met
    assert [
        (miss.entry.id, {name: (d.wanted, d.seen) for name, d in miss.differs.items()})
        for miss in outcome.nearest
    ] == [
        (4, {"status": ("200", None)}),
        (2, {"status": ("200", "401")}),
        (3, {"server": ("a.test", "b.test"), "status": ("200", "401")}),
        (
            1,
            {
                "server": ("a.test", "b.test"),
                "status": ("200", "401"),
                "txn_id": ("1", "9"),
            },
        ),
    ]


def test_rooms_that_are_not_the_wanted_one_are_all_shown() -> None:
    """Where an exchange has several rooms, the difference lists them."""
    [entry] = recorded(exchange(PDUS)).find()
    [difference] = Match(room_id="!c:x").differences(entry).values()
    assert difference.seen == ["!a:x", "!b:x"]


def test_five_near_misses_are_enough() -> None:
    """What a reader would not compare is left out."""
    waiting = Waiting()
    for _ in range(20):
        waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(status=500), within=0)))
    assert [miss.entry.id for miss in met(waiting).nearest] == [20, 19, 18, 17, 16]


def test_never_is_met_by_silence() -> None:
    """Nothing may match for all of the time."""
    waiting = Waiting()
    wanted = Expectation(Match(server="a.test"), within=5, never=True)
    waiting.start(expect(waiting.record, wanted))
    waiting.record.add(exchange(server="b.test"))
    waiting.clock.advance(4.9)
    assert waiting.results == []
    waiting.clock.advance(0.2)
    assert met(waiting).is_met


@pytest.mark.parametrize("is_early", [True, False])
def test_never_fails_with_the_first_match(*, is_early: bool) -> None:
    """What must not happen fails the expectation at once, and is shown."""
    waiting = Waiting()
    if is_early:
        waiting.record.add(exchange())
    waiting.start(expect(waiting.record, Expectation(Match(), never=True)))
    if not is_early:
        waiting.record.add(exchange())
    outcome = met(waiting)
    assert not outcome.is_met
    assert len(outcome.matched) == 1
    assert outcome.nearest == ()


def test_silence_is_waited_for() -> None:
    """Each exchange that arrives begins the time anew; those that leave do not."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 30))
    waiting.clock.advance(1.5)
    waiting.record.add(exchange())
    waiting.clock.advance(1.5)
    waiting.record.add(exchange(direction="out"))
    assert waiting.results == []
    waiting.clock.advance(0.5)
    assert waiting.results == [3.5]
    assert waiting.watches == 0


def test_only_the_named_servers_need_to_be_quiet() -> None:
    """Other tests of the same lab do not disturb the silence of one."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 30, ["a.test"]))
    waiting.clock.advance(1)
    waiting.record.add(exchange(server="b.test"))
    waiting.clock.advance(1)
    assert waiting.results == [2]


def test_a_noisy_server_is_not_waited_for_for_ever() -> None:
    """Where silence would come too late, the wait ends."""
    waiting = Waiting()
    waiting.start(quiet(waiting.record, waiting.clock, 2, 5))
    for _ in range(4):
        waiting.clock.advance(1)
        waiting.record.add(exchange())
    assert waiting.results == []
    waiting.clock.advance(1)
    assert waiting.results == [None]
    assert waiting.watches == 0


def to_json(value: object) -> Any:
    """A view as a client reads it."""
    return json.loads(msgspec.json.encode(value))


def test_an_exchange_in_a_list() -> None:
    """A list has what one looks for, and neither headers nor bodies."""
    [entry] = recorded(
        exchange(PDUS, reason="signature", remarks=[Remark("other", "odd")])
    ).find()
    assert to_json(view(entry)) == {
        "id": 1,
        "kind": "request",
        "direction": "in",
        "server": "a.test",
        "peer": "peer.test",
        "address": "127.0.0.1",
        "started_ts": 1_700_000_000_000,
        "seconds": 0.5,
        "method": "PUT",
        "path": "/_matrix/federation/v1/send/1",
        "route": SEND,
        "status": 200,
        "reason": "signature",
        "txn_id": "1",
        "room_id": "!a:x",
        "remarks": [{"code": "other", "text": "odd"}],
        "hints": [],
    }


def test_an_exchange_alone() -> None:
    """Alone it has everything: TLS, stages, headers and bodies."""
    [entry] = recorded(exchange(PDUS, b"{}", is_proven=True)).find()
    shown = to_json(view_details(entry))
    assert shown["tls"] == {
        "version": "TLSv1.3",
        "cipher": "AES",
        "sni": "a.test",
        "alpn": None,
        "client_certificate": sha256(b"certificate").hexdigest(),
    }
    assert shown["stages"] == {"arrival": 0.25}
    assert shown["request"] == {
        "headers": [["Content-Type", "application/json"]],
        "body": PDUS.decode(),
        "body_cut": False,
        "body_bytes": len(PDUS),
    }
    assert shown["response"]["body"] == "{}"
    assert (shown["is_proven"], shown["is_gone"]) == (True, False)


BODIES: list[tuple[bytes, dict[str, object]]] = [
    (b"\xff\xfe", {"body_base64": "//4=", "body_cut": False, "body_bytes": 2}),
    ("é".encode(), {"body": "é", "body_cut": False, "body_bytes": 2}),
    (b"", {"body": "", "body_cut": False, "body_bytes": 0}),
]


@pytest.mark.parametrize(("body", "shown"), BODIES)
def test_bodies_are_text_or_base64(body: bytes, shown: dict[str, object]) -> None:
    """What is no UTF-8 is encoded, so that each byte can be seen."""
    [entry] = recorded(exchange(body)).find()
    request = to_json(view_details(entry))["request"]
    del request["headers"]
    assert request == shown


def test_a_body_is_cut_at_its_limit() -> None:
    """A long body is cut, which it says, even inside a character."""
    body = b"x" * (MAX_RECORDED_BYTES - 1) + "é".encode()
    [entry] = recorded(exchange(body)).find()
    request = to_json(view_details(entry))["request"]
    assert request["body"] == "x" * (MAX_RECORDED_BYTES - 1)
    assert (request["body_cut"], request["body_bytes"]) == (True, len(body))


@pytest.mark.parametrize(
    "members",
    [
        {"details": None},
        {"status": None},
        {"kind": "dns", "method": "SRV", "path": "_matrix._tcp.a.test", "peer": None},
        {"kind": "connection", "method": "", "path": "", "reason": "timeout"},
        {"direction": "out", "peer": None, "server": "", "address": ""},
    ],
)
def test_every_kind_can_be_shown(members: dict[str, Any]) -> None:
    """Whatever an exchange lacks, it has a view, a line and a place in an archive."""
    [entry] = recorded(exchange(**members)).find()
    shown = to_json(view_details(entry))
    assert shown.items() >= to_json(view(entry)).items()
    check_har(build_har([entry]))


class HarPair(Struct):
    """A header."""

    name: str
    value: str


class HarPostData(Struct):
    """HAR 1.2, "postData"."""

    mimeType: str
    text: str
    params: list[Any]


class HarRequest(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "request"."""

    method: str
    url: Annotated[str, Meta(pattern="^https://")]
    httpVersion: str
    cookies: list[Any]
    headers: list[HarPair]
    queryString: list[HarPair]
    headersSize: int
    bodySize: int
    postData: HarPostData | None = None


class HarContent(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "content"."""

    size: int
    mimeType: str
    text: str | None = None
    encoding: Literal["base64"] | None = None


class HarResponse(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "response"."""

    status: int
    statusText: str
    httpVersion: str
    cookies: list[Any]
    headers: list[HarPair]
    content: HarContent
    redirectURL: str
    headersSize: int
    bodySize: int


class HarTimings(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "timings": their sum is the time of the entry."""

    send: Annotated[float, Meta(ge=0)]
    wait: Annotated[float, Meta(ge=0)]
    receive: Annotated[float, Meta(ge=0)]


class HarEntry(Struct):
    """HAR 1.2, "entries"; the members of others begin with an underscore."""

    startedDateTime: Annotated[
        str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$")
    ]
    time: Annotated[float, Meta(ge=0)]
    request: HarRequest
    response: HarResponse
    cache: dict[str, Any]
    timings: HarTimings
    # An IP address: readers refuse an empty one.
    serverIPAddress: Annotated[str, Meta(pattern=r"\A[0-9a-f.:]+\Z")] | None = None
    connection: str = ""
    comment: str = ""


class HarNamed(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "creator"."""

    name: str
    version: str


class HarLog(Struct, forbid_unknown_fields=True):
    """HAR 1.2, "log"."""

    version: Literal["1.2"]
    creator: HarNamed
    entries: list[HarEntry]


class Har(Struct, forbid_unknown_fields=True):
    """An archive; the schema is that of HAR 1.2."""

    log: HarLog


_ENTRY_MEMBERS = set(HarEntry.__struct_fields__)


def check_har(archive: object) -> Har:
    """An archive as its readers need it; raises if it is not one."""
    data = msgspec.json.encode(archive)
    for entry in json.loads(data)["log"]["entries"]:
        assert all(name[0] == "_" or name in _ENTRY_MEMBERS for name in entry)
        assert sum(entry["timings"].values()) == pytest.approx(entry["time"])
    return msgspec.json.decode(data, type=Har)


def test_requests_are_an_archive() -> None:
    """Requests are entries with their bodies, and other exchanges are left out."""
    record = recorded(
        exchange(PDUS, b'{"pdus":{}}'),
        exchange(kind="dns"),
        exchange(b"", b"\xff", direction="out", status=299, address="::1"),
    )
    asked = next(record.find()).exchange
    assert asked.details is not None
    asked.details.target = "/_matrix/federation/v1/send/1?a=%21&b"
    first, second = check_har(build_har(record.find())).log.entries
    assert first.startedDateTime == "2023-11-14T22:13:20.000+00:00"
    assert first.time == 500
    assert first.request.url == ("https://a.test/_matrix/federation/v1/send/1?a=%21&b")
    assert first.request.queryString == [
        HarPair("a", "!"),
        HarPair("b", ""),
    ]
    assert first.request.postData == HarPostData("application/json", PDUS.decode(), [])
    assert first.response.content.text == '{"pdus":{}}'
    assert (first.response.statusText, first.response.redirectURL) == ("OK", "/y")
    assert second.request.url == "https://peer.test/_matrix/federation/v1/send/1"
    assert second.request.postData is None
    assert second.response.content.encoding == "base64"
    assert (second.response.statusText, second.serverIPAddress) == ("", "::1")


def read_lines(path: Path) -> list[Any]:
    """The JSON of each line of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_journal_has_a_line_for_each_exchange(tmp_path: Path) -> None:
    """Lines are written after a turn, and what is left when the journal is closed."""
    waiting = Waiting()
    path = tmp_path / "exchanges.jsonl"
    path.write_text('{"id":0}\n')
    journal = Journal(path, waiting.record, waiting.clock)
    waiting.record.add(exchange(PDUS))
    waiting.record.add(exchange(kind="dns"))
    waiting.clock.advance(0)
    assert [line["id"] for line in read_lines(path)] == [0, 1, 2]
    waiting.record.add(exchange())
    journal.close()
    waiting.record.add(exchange())
    lines = read_lines(path)
    assert [line["id"] for line in lines] == [0, 1, 2, 3]
    assert lines[1]["request"]["body"] == PDUS.decode()
    waiting.clock.advance(1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_journal() -> None:
    """The exchanges go on, and nothing is kept in memory for a file that is full."""
    waiting = Waiting()
    journal = Journal(Path("/dev/full"), waiting.record, waiting.clock)
    waiting.record.add(exchange())
    waiting.clock.advance(0)
    waiting.record.add(exchange())
    assert waiting.watches == 0
    assert journal._lines == []
    journal.close()
