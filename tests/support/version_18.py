"""A store of version 18, the last without names of ours, with rows in each table."""

import pytest
from msgspec.json import encode

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.connection import Connection, transaction
from homeserver.storage.migrations import migrate
from homeserver.storage.refusals import Refusal
from tests.support.our_names import OTHER_NAME

PEER = ServerName.parse("peer.example")

LAST = 18

REFUSAL = encode(
    Refusal(
        refused_ts=7,
        address="192.0.2.1",
        origin="peer.example",
        proven=False,
        method="GET",
        path="/",
        status=401,
        errcode="M_UNAUTHORIZED",
        error="no",
        reason="header",
    )
).decode()

# {table: its rows, as {column: value}}, with each column of each table of version 18.
ROWS: dict[str, list[dict[str, object]]] = {
    "received_transactions": [
        {
            "id": 3,
            "origin": "peer.example",
            "txn_id": "t",
            "digest": b"d" * 32,
            "received_ts": 1,
            "key_id": "ed25519:1",
            "client_certificate": "ab",
            "edus": '[{"edu_type":"m.test"}]',
            "problems": '["a problem"]',
            "remarks": '["a remark"]',
            "reply": b'{"pdus":{}}',
        },
    ],
    "received_pdus": [
        {
            "transaction_id": 3,
            "position": 0,
            "event_id": "$e",
            "room_version": "11",
            "verdict": "accepted",
            "event": '{"type":"m.test"}',
            "room_version_source": "default",
            "signers": '["peer.example"]',
        },
    ],
    "last_received": [{"id": 5}],
    "rooms": [{"room_id": "!r:peer.example", "room_version": "9"}],
    "refusals": [
        {"id": 4, "refused_ts": 7, "origin": "peer.example", "refusal": REFUSAL},
    ],
    "last_refused": [{"id": 6}],
    "outbound_entries": [
        {
            "id": number,
            "destination": name,
            "pdus": pdus,
            "edus": "[]",
            "txn_id": txn_id,
            "length": 9,
            "queued_ts": 8,
            "ephemeral": 0,
            "dropped_ts": dropped_ts,
            "dropped_by": dropped_by,
        }
        for number, name, pdus, txn_id, dropped_ts, dropped_by in [
            (1, "peer.example", "", "1-1", None, None),
            (2, "down.example", "", "1-2", None, None),
            (3, "down.example", '[{"n":3}]', None, None, None),
            (4, "down.example", "", None, 5, "peers --drop"),
        ]
    ],
    "outbound_transactions": [
        {
            "destination": name,
            "txn_id": txn_id,
            "body": body,
            "attempts": 2,
            "last_error": error,
            "delivered_ts": delivered_ts,
            "reply": reply,
            "connection": reply,
            "rejected_ts": None,
            "remarks": "[]",
            "dropped_ts": None,
        }
        for name, txn_id, body, error, delivered_ts, reply in [
            ("peer.example", "1-1", b"", None, 9, "{}"),
            ("down.example", "1-2", b'{"pdus":[{"n":2}]}', "no route", None, None),
        ]
    ],
    "destinations": [
        {
            "server_name": "down.example",
            "queued": 2,
            "due_ts": 100,
            "holder": None,
            "failures": 3,
            "last_error": "no route",
            "earliest_ts": 50,
            "at_once": 0,
            "rejected": 1,
            "dropped": 1,
            "slash": 1,
            "fresh": 0,
        },
    ],
    "peers": [
        {
            "server_name": "peer.example",
            "verified_by": "key-document",
            "certificate_sha256": "cd",
            "pinned_keys": '{"ed25519:1":"%s"}' % ("A" * 43),
            "first_verified_ts": 10,
            "last_verified_ts": 11,
        },
    ],
    "server_keys": [
        {
            "server_name": "peer.example",
            "key_id": "ed25519:1",
            "key": bytes(32),
            "valid_until_ts": 12,
            "expired_ts": None,
            "since_ts": 13,
        },
    ],
    "key_documents": [
        {
            "id": 9,
            "server_name": "peer.example",
            "keys": '{"ed25519:1":"x"}',
            "valid_until_ts": 14,
            "fetched_ts": 15,
            "length": 2,
            "document": '{"a":1}',
        },
    ],
    "certificate_pins": [
        {
            "server_name": "peer.example",
            "certificate_sha256": "ef",
            "pinned_ts": 16,
        },
    ],
    "known_names": [{"server_name": "peer.example", "used_ts": 17, "size": 18}],
    "retention": [
        {
            "length": 19,
            "received_id": 3,
            "delivered_ts": 20,
            "rejected_ts": 21,
            "dropped_ts": 22,
            "pruned_id": 1,
        },
    ],
}

SINGLE = ("last_received", "last_refused", "retention")
"""The tables of one row, which every store has."""


def fill(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an empty store one of version 18, with a row of each kind in each table."""
    scripts = migrate._scripts()
    before = {number: text for number, text in scripts.items() if number <= LAST}
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_scripts", lambda: before)
        migrate.migrate(connection, OTHER_NAME)  # these scripts do not name it
    with transaction(connection) as cursor:
        for table, rows in ROWS.items():
            for row in rows:
                if table in SINGLE:
                    cursor.execute(f"DELETE FROM {table}")
                # The store counts entries from 1 by itself.
                is_counted = table == "outbound_entries"
                given = {k: v for k, v in row.items() if not (is_counted and k == "id")}
                columns, marks = ", ".join(given), ", ".join("?" * len(given))
                cursor.execute(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})",
                    list(given.values()),
                )
