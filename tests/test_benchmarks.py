"""What the benchmarks measure with: the requests, the sums, the CPU clock."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from shutil import which
from unittest import TestCase

import pytest

import homeserver.storage
from homeserver.protocol.canonical_json import as_list, as_object, parse_object
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.events.room_versions import DEFAULT_ROOM_VERSION
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.signing import parse_signatures, signed_bytes, verify
from homeserver.protocol.slices import run
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from homeserver.rooms.turn import Turn
from scripts.benchmarks import large_store
from scripts.benchmarks.alone import resolutions
from scripts.benchmarks.large_rooms import make_known
from scripts.benchmarks.rooms import branches, creations, state_resolutions
from scripts.benchmarks.table import LIBSODIUM, OURS, Row, Sample, measure, summarise
from scripts.benchmarks.transactions import KEY_ID, Origin, TransactionMaker
from scripts.benchmarks.usage import cpu_seconds
from scripts.processes import make_endpoint
from tests.support.coroutines import result_of
from tests.support.stopped_endpoints import StoppedEndpoint

MIGRATIONS = Path(homeserver.storage.__file__).parent / "migrations"
DESTINATION = ServerName.parse("bench.test")


class TransactionMakerTests(TestCase):
    """Requests that every server takes, and none has seen before."""

    def setUp(self) -> None:
        self.origins = [Origin.at("127.0.0.1:1"), Origin.at("127.0.0.1:2")]
        maker = TransactionMaker(self.origins, DESTINATION, 1_800_000_000_000)
        self.requests = maker.requests(4, 2) + maker.requests(2, 1)

    def test_signed_requests(self) -> None:
        """Each is signed by its origin, the origins in turn."""
        for number, request in enumerate(self.requests):
            head, _, body = request.partition(b"\r\n\r\n")
            line, _, header, *_ = head.decode("ascii").split("\r\n")
            authorization = Authorization.parse(header.removeprefix("Authorization: "))
            origin = self.origins[number % 2]
            self.assertEqual(authorization.origin, origin.name)
            method, target, _ = line.split(" ")
            FederationRequest(
                method, target, origin.name, DESTINATION, parse_object(body)
            ).verify([authorization], {KEY_ID: origin.key.verify_key})

    def test_signed_pdus(self) -> None:
        """Each PDU is a good event of its own."""
        event_ids = set()
        for number, request in enumerate(self.requests):
            origin = self.origins[number % 2]
            content = parse_object(request.partition(b"\r\n\r\n")[2])
            for pdu in as_list(content["pdus"], "pdus"):
                event = Event.parse(as_object(pdu, "a PDU"), DEFAULT_ROOM_VERSION)
                self.assertTrue(event.content_hash_matches)
                self.assertEqual(event.required_signers, {origin.name})
                verify(
                    signed_bytes(redact(event.pdu, event.room_version)),
                    parse_signatures(event.pdu, origin.name),
                    {KEY_ID: origin.key.verify_key},
                    "the event",
                )
                event_ids.add(event.event_id)
        self.assertEqual(len(event_ids), 4 * 2 + 2 * 1)


class TableTests(TestCase):
    """Rounds, and what is made of them."""

    def test_turns(self) -> None:
        """The servers of a row have their rounds in turns, forwards and backwards."""
        turns: list[tuple[str, int]] = []

        def take(server: str, number: int) -> Sample:
            turns.append((server, number))
            return Sample(1.0)

        row = Row(
            "a row", "us", {OURS: lambda n: take("a", n), "b": lambda n: take("b", n)}
        )
        [(_, samples)] = measure([row], 2)
        self.assertEqual(turns, [("a", 0), ("b", 0), ("b", 1), ("a", 1)])
        self.assertEqual([len(each) for each in samples.values()], [2, 2])

    def test_sums(self) -> None:
        """A line has the median, the spread, and how many times ours it is."""
        ours, theirs = summarise(
            {
                OURS: [Sample(4.0, 10.0), Sample(5.0, 30.0), Sample(9.0, 20.0)],
                LIBSODIUM: [Sample(2.0), Sample(2.5), Sample(3.0)],
            }
        )
        self.assertEqual((ours.value, ours.spread, ours.per_second), (5.0, 1.0, 20.0))
        self.assertEqual((theirs.value, theirs.per_second), (2.5, None))
        self.assertEqual((theirs.by_ours, theirs.error), (0.5, None))

    def test_ratios(self) -> None:
        """A ratio is that of the same round, which other load does not change."""
        load = [1.0, 9.0, 2.0, 1.0, 5.0, 1.0, 1.0, 4.0, 1.0, 3.0]
        ratios = [0.90, 0.91, 0.92, 0.93, 0.95, 0.95, 0.96, 0.97, 0.98, 5.0]
        ours, theirs = summarise(
            {
                OURS: [Sample(each) for each in load],
                LIBSODIUM: [Sample(a * b) for a, b in zip(load, ratios, strict=True)],
            }
        )
        self.assertEqual((ours.by_ours, ours.error), (1.0, None))
        assert theirs.by_ours is not None
        assert theirs.error is not None
        self.assertAlmostEqual(theirs.by_ours, 0.95)
        self.assertAlmostEqual(theirs.error, (0.98 - 0.91) / 2)


class ResolverTests(TestCase):
    """Names that are resolved without a network."""

    def test_warm_cache(self) -> None:
        """The row is made: each name is resolved once, before anything is measured."""
        self.assertEqual(list(resolutions().measures), [OURS])


class StateResolutionTests(TestCase):
    """A room of two branches, of which one is long."""

    def test_branches(self) -> None:
        """The long one has so many events in its auth chain, the short one none."""
        for version in ("10", "12"):
            graph, states = branches(version, 20)
            difference = run(graph.auth_difference(states))
            topics = 1
            self.assertEqual(len(difference), 20 + topics)

    def test_rows(self) -> None:
        """They are the times of creating rooms, and of resolving their states."""
        for row in [creations(2), *state_resolutions(20)]:
            [measure_round] = row.measures.values()
            self.assertGreater(measure_round(0).value, 0)


class UsageTests(TestCase):
    """The CPU time of a process and of those that it has started."""

    def test_own_time(self) -> None:
        """It is what the process itself measures."""
        program = "import time\nfor _ in '12':\n"
        program += " print(time.process_time(), flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            before = float(process.stdout.readline())
            measured = cpu_seconds(process.pid)
            process.stdin.write("\n\n")
            process.stdin.flush()
            after = float(process.stdout.readline())
        self.assertLessEqual(before, measured)
        self.assertLessEqual(measured, after)

    def test_children(self) -> None:
        """What a child takes is the parent's too."""
        burn = "import sys, time; end = time.process_time; print(flush=True)\n"
        burn += "while end() < 0.2: pass\nprint(flush=True); sys.stdin.read()"
        before = cpu_seconds(os.getpid())
        with subprocess.Popen(
            [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.stdout.readline()
            after = cpu_seconds(os.getpid())
        self.assertGreaterEqual(after - before, 0.2)


def test_unbounded_server() -> None:
    """Every bound that is taken away exists under the name by which it is replaced."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from scripts.benchmarks.unbounded import remove_bounds; remove_bounds()",
        ],
        check=True,
    )


def test_help_installs_nothing(tmp_path: Path) -> None:
    """Only a measurement needs the yardsticks, which the script installs."""
    for name in ("dirname", "cat", "cksum", "grep", "id"):
        found = which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    asked = tmp_path / "asked"
    for name in ("apt-get", "python3", "curl"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >>{asked}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["scripts/bench", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={"PATH": str(tmp_path), "PYTHON": sys.executable},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--rounds" in done.stdout
    assert not asked.exists()


def test_large_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions are added to those of a store, each with a PDU."""
    store = tmp_path / "homeserver.db"
    with closing(sqlite3.connect(store)) as connection, connection:
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            connection.executescript(migration.read_text())
        for own_id in (1, 2):
            connection.execute(
                "INSERT INTO received_transactions (server_name, id, origin, txn_id,"
                " digest, received_ts, key_id, edus, problems, remarks, reply)"
                " VALUES ('us', ?, 'them', ?, x'00', 1, 'k', '[]', '[]', '[]', '{}')",
                (own_id, f"t{own_id}"),
            )
    monkeypatch.setattr(large_store, "TRANSACTIONS", 10)
    large_store.fill(store)
    with closing(sqlite3.connect(store)) as connection:
        count = "SELECT COUNT(*) FROM"
        assert connection.execute(f"{count} received_transactions").fetchone() == (12,)
        assert connection.execute(f"{count} received_pdus").fetchone() == (10,)
        assert connection.execute("SELECT id FROM last_received").fetchone() == (12,)


def test_events_of_a_known_room(tmp_path: Path) -> None:
    """A server that is in the room accepts each event, as they come."""
    endpoint = make_endpoint(tmp_path / "endpoint", "bench.test", "")
    origins = [Origin.at(f"127.0.0.2:{port}") for port in (1, 2)]
    room = make_known(endpoint, origins)
    maker = TransactionMaker(origins, DESTINATION, 1_800_000_000_000)
    rooms = StoppedEndpoint(endpoint).rooms
    taken = []

    async def take(turn: Turn) -> None:
        for request in maker.requests(4, 3, room):
            content = parse_object(request.partition(b"\r\n\r\n")[2])
            for pdu in as_list(content["pdus"], "pdus"):
                event = Event.parse(as_object(pdu, "a PDU"), DEFAULT_ROOM_VERSION)
                taken.append((await turn.take(event)).outcome)

    result_of(rooms.change(room.room_id, take))
    assert taken == [Outcome.ACCEPTED] * 12
    known = result_of(rooms.known(room.room_id))
    assert len(known.extremities) == 4
    assert known.residents == {each.name for each in origins} | {rooms.server_name}
