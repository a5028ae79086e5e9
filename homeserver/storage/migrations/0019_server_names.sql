-- Every row says which of our names it belongs to: `server_name` is ours in each table,
-- and the other server is `destination`, `origin` or `peer`. The rows of before belong
-- to the name that opens the store, the first of several: a question mark stands for it.
--
-- `server_name` is first in each key and in each index of a look-up, and first in each
-- table but two. SQLite drops no constraint, so tables whose keys change are copied, and
-- `received_pdus` with the table that it refers to; `outbound_entries` and
-- `key_documents`, whose IDs are never given twice, keep their counters and get a last
-- column. These span the names: `retention`, the IDs in `last_received` and
-- `last_refused`, and the indexes by time, by which the sender and the pruner look over
-- all names at once.

ALTER TABLE received_pdus RENAME TO old_received_pdus;
ALTER TABLE received_transactions RENAME TO old_received_transactions;
CREATE TABLE received_transactions (
    server_name TEXT NOT NULL,
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- of all names in one order
    origin TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    digest BLOB NOT NULL,           -- SHA-256 of its PDUs and EDUs; empty of what was
                                    -- recorded before there were digests
    received_ts BIGINT NOT NULL,
    key_id TEXT NOT NULL,           -- the key that proved the origin
    client_certificate TEXT,        -- SHA-256 of the TLS client certificate, if any
    edus TEXT NOT NULL,             -- a list, as received
    problems TEXT NOT NULL,         -- what is wrong with it: a list of sentences
    remarks TEXT NOT NULL,          -- what is remarkable about it: the same
    reply BLOB NOT NULL,            -- the body of the 200 that was sent
    UNIQUE (server_name, origin, txn_id, digest)
);
INSERT INTO received_transactions (server_name, id, origin, txn_id, digest,
        received_ts, key_id, client_certificate, edus, problems, remarks, reply)
    SELECT CAST(? AS TEXT), id, origin, txn_id, digest, received_ts, key_id,
        client_certificate, edus, problems, remarks, reply
    FROM old_received_transactions ORDER BY id;

CREATE TABLE received_pdus (
    server_name TEXT NOT NULL,      -- that of its transaction
    transaction_id BIGINT NOT NULL REFERENCES received_transactions (id),
    position INTEGER NOT NULL,      -- in what was recorded, from 0
    event_id TEXT,                  -- null where the PDU's form lets none be computed
    room_version TEXT,              -- the one it was judged by
    verdict TEXT NOT NULL,          -- one of judged_pdus.OUTCOMES, with the reason
    event TEXT NOT NULL,            -- as received; as redacted if the verdict says so
    room_version_source TEXT,       -- "create event", "event format" or "default"
    signers TEXT,                   -- the servers whose signatures were verified: a list
                                    -- of those that no row before has, or null
    PRIMARY KEY (transaction_id, position)
);
INSERT INTO received_pdus (server_name, transaction_id, position, event_id,
        room_version, verdict, event, room_version_source, signers)
    SELECT CAST(? AS TEXT), transaction_id, position, event_id, room_version, verdict,
        event, room_version_source, signers
    FROM old_received_pdus ORDER BY transaction_id, position;
DROP TABLE old_received_pdus;
DROP TABLE old_received_transactions;
CREATE INDEX received_pdus_signed ON received_pdus (server_name, event_id)
    WHERE signers IS NOT NULL;

-- The pages of one name, and of one origin.
CREATE INDEX received_transactions_by_name
    ON received_transactions (server_name, id);
CREATE INDEX received_transactions_by_origin
    ON received_transactions (server_name, origin, id);

-- The version of each room whose create event was accepted.
ALTER TABLE rooms RENAME TO old_rooms;
CREATE TABLE rooms (
    server_name TEXT NOT NULL,
    room_id TEXT NOT NULL,
    room_version TEXT NOT NULL,
    PRIMARY KEY (server_name, room_id)
);
INSERT INTO rooms (server_name, room_id, room_version)
    SELECT CAST(? AS TEXT), room_id, room_version FROM old_rooms;
DROP TABLE old_rooms;

-- Refused requests, as JSON objects with all that is shown of them but the ID.
ALTER TABLE refusals RENAME TO old_refusals;
CREATE TABLE refusals (
    server_name TEXT NOT NULL,      -- ours, which refused it
    id BIGINT PRIMARY KEY,          -- of all names in one order
    refused_ts BIGINT NOT NULL,
    origin TEXT,                    -- the server that the request says it is of
    refusal TEXT NOT NULL
);
INSERT INTO refusals (server_name, id, refused_ts, origin, refusal)
    SELECT CAST(? AS TEXT), id, refused_ts, origin, refusal FROM old_refusals
    ORDER BY id;
DROP TABLE old_refusals;
CREATE INDEX refusals_by_name ON refusals (server_name, id);

-- What is queued for other servers, in the order of the IDs. An entry has a txn_id once
-- it is part of a transaction.
ALTER TABLE outbound_entries ADD COLUMN server_name TEXT NOT NULL DEFAULT '';
DROP INDEX outbound_entries_waiting;
DROP INDEX outbound_entries_ephemeral;
DROP INDEX outbound_entries_cut;
UPDATE outbound_entries SET server_name = CAST(? AS TEXT);
CREATE INDEX outbound_entries_waiting
    ON outbound_entries (server_name, destination, id, length)
    WHERE txn_id IS NULL AND dropped_ts IS NULL;
CREATE INDEX outbound_entries_ephemeral
    ON outbound_entries (server_name, destination, queued_ts)
    WHERE txn_id IS NULL AND dropped_ts IS NULL AND ephemeral > 0;
CREATE INDEX outbound_entries_cut
    ON outbound_entries (server_name, destination, txn_id) WHERE txn_id IS NOT NULL;

-- A transaction keeps its ID and its bytes until it has an outcome; of each queue, at
-- most one has none.
ALTER TABLE outbound_transactions RENAME TO old_outbound_transactions;
DROP INDEX outbound_transactions_owed;
DROP INDEX outbound_transactions_delivered;
DROP INDEX outbound_transactions_rejected;
DROP INDEX outbound_transactions_dropped;
CREATE TABLE outbound_transactions (
    server_name TEXT NOT NULL,
    destination TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    body BLOB NOT NULL,             -- empty once it was delivered or dropped
    attempts INTEGER NOT NULL,
    last_error TEXT,
    delivered_ts BIGINT,            -- null until the destination said 200
    reply TEXT,                     -- what it said with it
    connection TEXT,                -- over which connection: an object
    rejected_ts BIGINT,             -- when the destination said that it never takes it
    remarks TEXT NOT NULL DEFAULT '[]', -- what is wrong with the reply: sentences
    dropped_ts BIGINT,              -- when an operator gave it up
    PRIMARY KEY (server_name, destination, txn_id)
);
INSERT INTO outbound_transactions (server_name, destination, txn_id, body, attempts,
        last_error, delivered_ts, reply, connection, rejected_ts, remarks, dropped_ts)
    SELECT CAST(? AS TEXT), destination, txn_id, body, attempts, last_error,
        delivered_ts, reply, connection, rejected_ts, remarks, dropped_ts
    FROM old_outbound_transactions;
DROP TABLE old_outbound_transactions;
CREATE UNIQUE INDEX outbound_transactions_owed
    ON outbound_transactions (server_name, destination)
    WHERE delivered_ts IS NULL AND rejected_ts IS NULL AND dropped_ts IS NULL;
CREATE INDEX outbound_transactions_delivered ON outbound_transactions (delivered_ts)
    WHERE delivered_ts IS NOT NULL;
CREATE INDEX outbound_transactions_rejected ON outbound_transactions (rejected_ts)
    WHERE rejected_ts IS NOT NULL;
CREATE INDEX outbound_transactions_dropped ON outbound_transactions (dropped_ts)
    WHERE dropped_ts IS NOT NULL;

-- Each queue: what is in it, when it may be served and by whom, and how its destination
-- fails.
ALTER TABLE destinations RENAME TO old_destinations;
DROP INDEX destinations_due;
DROP INDEX destinations_due_failing;
CREATE TABLE destinations (
    server_name TEXT NOT NULL,
    destination TEXT NOT NULL,
    queued BIGINT NOT NULL DEFAULT 0,   -- entries without an outcome
    due_ts BIGINT,                      -- when a process may serve it: after its
                                        -- back-off, or its holder's lease; null where
                                        -- nothing is queued
    holder TEXT,                        -- the process that serves it now
    failures BIGINT NOT NULL DEFAULT 0, -- in a row
    last_error TEXT,                    -- why the last attempt failed, if it did
    earliest_ts BIGINT NOT NULL DEFAULT 0,  -- no sign of life makes it due before this
    at_once INTEGER NOT NULL DEFAULT 0, -- 1: after the running attempt, try once more
    rejected BIGINT NOT NULL DEFAULT 0, -- transactions that it never takes
    dropped BIGINT NOT NULL DEFAULT 0,  -- entries that were stale, or given up
    slash INTEGER NOT NULL DEFAULT 0,   -- 1: its path for transactions ends with one
    fresh INTEGER NOT NULL DEFAULT 0,   -- 1: due because something was queued, and not
                                        -- served since
    PRIMARY KEY (server_name, destination)
);
INSERT INTO destinations (server_name, destination, queued, due_ts, holder, failures,
        last_error, earliest_ts, at_once, rejected, dropped, slash, fresh)
    SELECT CAST(? AS TEXT), server_name, queued, due_ts, holder, failures, last_error,
        earliest_ts, at_once, rejected, dropped, slash, fresh
    FROM old_destinations;
DROP TABLE old_destinations;
CREATE INDEX destinations_due ON destinations (due_ts)
    WHERE due_ts IS NOT NULL AND failures = 0;
CREATE INDEX destinations_due_failing ON destinations (due_ts)
    WHERE due_ts IS NOT NULL AND failures > 0;

-- What one of our names knows of another server is not known to the others of ours.
ALTER TABLE peers RENAME TO old_peers;
CREATE TABLE peers (
    server_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    verified_by TEXT NOT NULL,      -- "certificate" is never followed by "key-document"
    certificate_sha256 TEXT NOT NULL,   -- of the leaf that was verified last
    pinned_keys TEXT NOT NULL,      -- {key ID: base64}; {} where none were pinned
    first_verified_ts BIGINT NOT NULL,
    last_verified_ts BIGINT NOT NULL,
    PRIMARY KEY (server_name, peer)
);
INSERT INTO peers (server_name, peer, verified_by, certificate_sha256, pinned_keys,
        first_verified_ts, last_verified_ts)
    SELECT CAST(? AS TEXT), server_name, verified_by, certificate_sha256, pinned_keys,
        first_verified_ts, last_verified_ts
    FROM old_peers;
DROP TABLE old_peers;

ALTER TABLE server_keys RENAME TO old_server_keys;
CREATE TABLE server_keys (
    server_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key BLOB NOT NULL,              -- 32 bytes
    valid_until_ts BIGINT,          -- for verifying requests; null for an old key
    expired_ts BIGINT,              -- when an old key stopped being used
    since_ts BIGINT NOT NULL DEFAULT 0, -- when it was stored first; 0 if not known
    PRIMARY KEY (server_name, peer, key_id)
);
INSERT INTO server_keys (server_name, peer, key_id, key, valid_until_ts, expired_ts,
        since_ts)
    SELECT CAST(? AS TEXT), server_name, key_id, key, valid_until_ts, expired_ts,
        since_ts
    FROM old_server_keys;
DROP TABLE old_server_keys;

ALTER TABLE certificate_pins RENAME TO old_certificate_pins;
CREATE TABLE certificate_pins (
    server_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    certificate_sha256 TEXT NOT NULL,   -- of the leaf, in hexadecimal
    pinned_ts BIGINT NOT NULL,
    PRIMARY KEY (server_name, peer)
);
INSERT INTO certificate_pins (server_name, peer, certificate_sha256, pinned_ts)
    SELECT CAST(? AS TEXT), server_name, certificate_sha256, pinned_ts
    FROM old_certificate_pins;
DROP TABLE old_certificate_pins;

ALTER TABLE known_names RENAME TO old_known_names;
DROP INDEX known_names_by_use;
CREATE TABLE known_names (
    server_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    used_ts BIGINT NOT NULL,        -- to the hour
    size BIGINT NOT NULL,           -- of all that is stored of it, in bytes, about
    PRIMARY KEY (server_name, peer)
);
INSERT INTO known_names (server_name, peer, used_ts, size)
    SELECT CAST(? AS TEXT), server_name, used_ts, size FROM old_known_names;
DROP TABLE old_known_names;
CREATE INDEX known_names_by_use ON known_names (server_name, used_ts);

DROP INDEX key_documents_by_name;
ALTER TABLE key_documents RENAME COLUMN server_name TO peer;
ALTER TABLE key_documents ADD COLUMN server_name TEXT NOT NULL DEFAULT '';
UPDATE key_documents SET server_name = CAST(? AS TEXT);
CREATE INDEX key_documents_by_name ON key_documents (server_name, peer, id);
