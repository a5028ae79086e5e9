"""What is said of a change to a peer."""

from pathlib import Path

from tests.support.canned_control import CannedControl
from tests.support.commands import run
from tests.support.tables import cases

SHA256 = "ab" * 32
WAYS = "how b.test was verified, its pins and keys, and its failures"

# (name, options, the route and its reply, the line, the JSON)
CHANGES: list[tuple[str, list[str], str, object, str, str]] = [
    (
        "forget",
        ["--forget", "b.test"],
        "DELETE /v1/peers/b.test/pin",
        {"queued": 2},
        f"forgotten: {WAYS}; 2 queued entries stay, and so does what it sent",
        '{"done": "forget", "server_name": "b.test", "queued": 2}',
    ),
    (
        "retry",
        ["--retry", "b.test"],
        "POST /v1/peers/b.test/retry",
        {},
        "retried: b.test has no back-off, and is looked up again",
        '{"done": "retry", "server_name": "b.test"}',
    ),
    (
        "pin",
        ["--pin", "b.test", SHA256],
        "PUT /v1/peers/b.test/pin",
        {},
        f"pinned: b.test may show the certificate {SHA256}",
        f'{{"done": "pin", "server_name": "b.test", "certificate_sha256": "{SHA256}"}}',
    ),
    (
        "drop",
        ["--drop", "b.test", "7"],
        "DELETE /v1/send/b.test/7",
        {"dropped": 2},
        "dropped: 2 entries for b.test",
        '{"done": "drop", "server_name": "b.test", "dropped": 2}',
    ),
    (
        "drop all",
        ["--drop-all", "b.test"],
        "DELETE /v1/send/b.test",
        {"dropped": 1},
        "dropped: 1 entry for b.test",
        '{"done": "drop-all", "server_name": "b.test", "dropped": 1}',
    ),
]


@cases("options route reply line as_json", CHANGES)
def test_change(  # noqa: PLR0917 - a row
    path: Path,
    control: CannedControl,
    options: list[str],
    route: str,
    reply: object,
    line: str,
    as_json: str,
) -> None:
    """Each change is a line, and with --json an object."""
    control.answers[route] = 200, reply
    assert run("peers", "-c", path, *options).stdout == f"{line}\n"
    assert run("peers", "-c", path, *options, "--json").stdout == f"{as_json}\n"
