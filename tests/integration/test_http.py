"""What each way of framing a request gets, from a daemon over TLS.

The daemon asks itself: its own keys are the ones that it need not fetch.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.identifiers import ServerName
from scripts.processes import Endpoint, first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.raw_client import talking
from tests.support.signed_requests import Peer, signing_key
from tests.support.tables import cases

ALPHA = Peer(ServerName.parse("alpha.test"), signing_key("a_1", b"1"))
SIGNING_KEY = f"ed25519 a_1 {encode_base64(b'1' * 32)}\n"

CONFIGURATION = """
[limits]
max_body_bytes = 1000

[profiles]
"@a:alpha.test" = {displayname = "A"}
"""

VERSION = "/_matrix/federation/v1/version"
SEND = "/_matrix/federation/v1/send"
PROFILE = "/_matrix/federation/v1/query/profile?user_id=@a:alpha.test"
LONG = f"{SEND}/{'x' * 1000}"
EMPTY: Json = {"pdus": []}
BODY = encode(EMPTY)
LARGE = b"x" * 1001


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One endpoint that runs, and whose key is known."""
    folder: Path = tmp_path_factory.mktemp("http")
    endpoint = make_endpoint(folder / "alpha", "alpha.test", CONFIGURATION)
    (endpoint.folder / "signing.key").write_text(SIGNING_KEY)
    with endpoint.running() as process:
        first_line(process)
        yield endpoint
    assert " 500 " not in endpoint.log.read_text()


def signed(method: str, target: str, content: Json | None, *headers: str) -> list[str]:
    """The headers of a request, with the one that proves it."""
    header = ALPHA.authorize(method, target, content, destination=ALPHA.server_name)
    return [f"Authorization: {header}", *headers]


def put(number: int, *headers: str, body: bytes | None = BODY) -> bytes:
    """A PUT of an empty transaction, signed, with more headers or in another form."""
    target = f"{SEND}/{number}"
    return request("PUT", target, signed("PUT", target, EMPTY, *headers), body)


def chunks(number: int, *pieces: bytes, version: str = "HTTP/1.1") -> bytes:
    """The same in chunks, of which `pieces` are the bytes."""
    target = f"{SEND}/{number}"
    headers = signed("PUT", target, EMPTY, "Transfer-Encoding: chunked")
    return request("PUT", target, headers, version=version) + b"".join(pieces)


def hostless(end: str) -> bytes:
    """A GET of the version, which ends as it is told."""
    return f"GET {VERSION} {end}".encode()


CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
END = b"0\r\n\r\n"

Answers = list[tuple[int, str | None]]

TAKEN: tuple[int, str | None] = (200, None)
MALFORMED: Answers = [(400, "M_UNKNOWN")]
NOT_JSON: Answers = [(400, "M_NOT_JSON")]
UNPROVEN: Answers = [(401, "M_UNAUTHORIZED")]
NOWHERE: Answers = [(404, "M_UNRECOGNIZED")]
NO_METHOD: Answers = [(405, "M_UNRECOGNIZED")]
TOO_LARGE: Answers = [(413, "M_TOO_LARGE")]

# What is sent, and the status and the errcode of each answer.
GOES_ON: list[tuple[str, bytes, Answers]] = [
    ("a body", put(1), [TAKEN]),
    ("not JSON", put(2, body=b"{"), NOT_JSON),
    ("not UTF-8", put(3, body=b'{"\xff":1}'), NOT_JSON),
    ("UTF-16", put(4, body=b"{\0}\0"), NOT_JSON),
    ("a JSON list", put(5, body=b"[]"), [(400, "M_BAD_JSON")]),
    ("another body than was signed", put(6, body=b"{}"), UNPROVEN),
    ("no body where one was signed", put(7, body=None), NOT_JSON),
    ("an empty body", put(8, body=b""), NOT_JSON),
    ("an empty body and no header", request("PUT", SEND + "/42"), UNPROVEN),
    ("another type", put(9, "Content-Type: text/plain"), [TAKEN]),
    ("a form", put(10, "Content-Type: application/x-www-form-urlencoded"), [TAKEN]),
    (
        "a GET with a body",
        request("GET", PROFILE, signed("GET", PROFILE, {}), b"{}"),
        [TAKEN],
    ),
    (
        "a GET with a body that was not signed",
        request("GET", PROFILE, signed("GET", PROFILE, None), b"{}"),
        UNPROVEN,
    ),
    (
        "a GET with a body that is not JSON",
        request("GET", PROFILE, signed("GET", PROFILE, None), b"{"),
        NOT_JSON,
    ),
    ("a body that nobody reads", request("GET", VERSION, body=b"{"), [TAKEN]),
    ("gzip", put(11, "Content-Encoding: gzip"), NOT_JSON),
    (
        "encoded, though it says so of an identity",
        put(12, "Content-Encoding: identity"),
        [TAKEN],
    ),
    ("100-continue", put(13, "Expect: 100-continue"), [(100, None), TAKEN]),
    ("another expectation", put(15, "Expect: the-unexpected"), [TAKEN]),
    ("chunks", chunks(16, CHUNK, END), [TAKEN]),
    (
        "many chunks",
        chunks(17, *[b"1\r\n%c\r\n" % byte for byte in BODY], END),
        [TAKEN],
    ),
    (
        "chunks with extensions",
        chunks(18, CHUNK.replace(b"\r\n", b";a=b\r\n", 1), END),
        [TAKEN],
    ),
    ("trailers", chunks(19, CHUNK, b"0\r\nX: y\r\n\r\n"), [TAKEN]),
    ("no chunks", chunks(20, END), NOT_JSON),
    ("pipelined", put(33) + put(34) + put(33), [TAKEN] * 3),
    (
        "a refused one within",
        put(37) + put(38, body=b"{") + put(39),
        [TAKEN, *NOT_JSON, TAKEN],
    ),
    (
        "an upgrade",
        request("GET", VERSION, ["Connection: Upgrade", "Upgrade: h2c"]),
        [TAKEN],
    ),
    ("an absolute target", request("GET", f"https://alpha.test{VERSION}"), [TAKEN]),
    (
        "an absolute target of a signed request",
        request("GET", f"https://alpha.test{PROFILE}", signed("GET", PROFILE, None)),
        [TAKEN],
    ),
    (
        "a transaction ID of 1,000 characters",
        request("PUT", LONG, signed("PUT", LONG, EMPTY), BODY),
        [TAKEN],
    ),
    ("a target without a slash", request("GET", "x" + VERSION[1:]), NOWHERE),
    ("a star", request("OPTIONS", "*"), NOWHERE),
    ("an authority", request("CONNECT", "alpha.test:443"), NOWHERE),
    ("a path that is not known", request("GET", "/_matrix/x"), NOWHERE),
    ("no path", request("GET", "/"), NOWHERE),
    ("a method that is not known", request("BREW", VERSION), NO_METHOD),
    ("another method", request("DELETE", f"{SEND}/1"), NO_METHOD),
    ("500 headers", request("GET", VERSION, ["a: b"] * 499), [TAKEN]),
    (
        "an Authorization without end",
        request("GET", PROFILE, ["Authorization: X-Matrix " + "a" * 3000]),
        [(400, "M_UNAUTHORIZED")],
    ),
    ("no Authorization", request("GET", PROFILE), UNPROVEN),
]

# The same, where the connection is closed after the answers.
IS_CLOSED: list[tuple[str, bytes, Answers]] = [
    (
        "100-continue before too much",
        put(14, "Expect: 100-continue", "Content-Length: 1001", body=None),
        TOO_LARGE,
    ),
    (
        "100-continue of HTTP/1.0",
        request("GET", VERSION, ["Expect: 100-continue"], b"", version="HTTP/1.0"),
        [TAKEN],
    ),
    ("a size that is none", chunks(21, b"x\r\n"), MALFORMED),
    ("a negative size", chunks(22, b"-1\r\n"), MALFORMED),
    ("a chunk that goes on", chunks(23, b"1\r\n{}\r\n"), MALFORMED),
    (
        "too large in chunks",
        chunks(24, b"1f4\r\n%b\r\n" % (b"x" * 500) * 2, b"1\r\nx"),
        TOO_LARGE,
    ),
    ("too large in one chunk", chunks(25, b"ffffff\r\n", LARGE), TOO_LARGE),
    ("chunks of HTTP/1.0", chunks(26, CHUNK, END, version="HTTP/1.0"), [TAKEN]),
    ("a length beside chunks", put(27, "Transfer-Encoding: chunked"), MALFORMED),
    (
        "chunks beside a length",
        put(
            28, f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked", body=None
        ),
        MALFORMED,
    ),
    ("two lengths", put(29, "Content-Length: 2"), MALFORMED),
    ("another coding", put(30, "Transfer-Encoding: gzip"), MALFORMED),
    ("no coding", put(31, "Transfer-Encoding: identity"), MALFORMED),
    ("too large", request("PUT", f"{SEND}/32", body=LARGE), TOO_LARGE),
    (
        "a bad one within",
        put(35) + request("GET", VERSION, ["no colon"]) + put(36),
        [TAKEN, *MALFORMED],
    ),
    ("the last of several", put(40, "Connection: close") + put(41), [TAKEN]),
    ("HTTP/1.0", request("GET", VERSION, version="HTTP/1.0"), [TAKEN]),
    (
        "HTTP/1.0 that would go on",
        request("GET", VERSION, ["Connection: keep-alive"], version="HTTP/1.0"),
        [TAKEN],
    ),
    ("HTTP/1.0 without a Host", b"GET %b HTTP/1.0\r\n\r\n" % VERSION.encode(), [TAKEN]),
    (
        "HTTP/1.1 without a Host",
        b"GET %b HTTP/1.1\r\n\r\n" % VERSION.encode(),
        MALFORMED,
    ),
    (
        "two Hosts",
        request("GET", VERSION, ["Host: alpha.test", "Host: alpha.test"]),
        MALFORMED,
    ),
    ("HTTP/1.2", b"GET %b HTTP/1.2\r\n\r\n" % VERSION.encode(), MALFORMED),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    ("HTTP/0.9", hostless("\r\n"), MALFORMED),
    ("no HTTP", b"\x16\x03\x01\r\n\r\n", MALFORMED),
    ("a blank in the target", request("GET", "/a b"), MALFORMED),
    ("a target without end", b"GET /" + b"a" * 20_000, MALFORMED),
    ("501 headers", request("GET", VERSION, ["a: b"] * 500), MALFORMED),
    ("16 kB of headers", request("GET", VERSION, ["a: " + "b" * 1000] * 17), MALFORMED),
    ("a header of 17 kB", b"GET / HTTP/1.1\r\na: " + LARGE * 17, MALFORMED),
]

ROWS = [(*row, row in IS_CLOSED) for row in GOES_ON + IS_CLOSED]


@cases("data expected closes", ROWS)
def test_answers(
    alpha: Endpoint,
    data: bytes,
    expected: Answers,
    closes: bool,  # noqa: FBT001 - a row
) -> None:
    """Each request has its answer in JSON, and the connection goes on or is closed."""
    with talking(alpha.port) as talk:
        talk.send(data)
        answers = [talk.answer() for _ in expected]
        for answer, (status, errcode) in zip(answers, expected, strict=True):
            assert answer.status == status
            if errcode is not None:
                assert answer.error == (status, errcode)
            elif status == 200:
                assert answer.json
        if closes:
            last = answers[-1]
            assert last.headers.get("connection") == "close" or last.version == "1.0"
            assert talk.is_closed
        else:
            talk.send(request("GET", VERSION, ["Connection: close"]))
            assert talk.answer().json.keys() == {"server"}
            assert talk.is_closed


def test_head_has_no_body(alpha: Endpoint) -> None:
    """HEAD is answered as GET is, and the next answer follows at once."""
    with talking(alpha.port) as talk:
        talk.send(request("GET", VERSION))
        whole = talk.answer()
        talk.send(request("HEAD", VERSION))
        answer = talk.answer(to_head=True)
        assert answer.headers == whole.headers | {"date": answer.headers["date"]}
        talk.send(request("GET", VERSION))
        assert talk.answer().body == whole.body


def test_every_transaction_that_was_answered_is_there(alpha: Endpoint) -> None:
    """What got a 200 above was recorded once, and nothing else was."""
    with talking(alpha.port) as talk:
        for number in (101, 102, 101):
            talk.send(put(number))
            assert talk.answer().status == 200
    recorded = [each["txn_id"] for each in alpha.ask("received")]
    assert len(recorded) == len(set(recorded))
    assert {"101", "102"} <= set(recorded)
