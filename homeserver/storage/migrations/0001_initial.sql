-- Times are milliseconds since 1970. JSON is text; what was signed or acknowledged
-- byte for byte is kept byte for byte.

-- A transaction that a peer delivered. A row is there before the peer gets its reply,
-- and (origin, txn_id) gets the same reply for ever.
CREATE TABLE received_transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    received_ts BIGINT NOT NULL,
    key_id TEXT NOT NULL,           -- the key that proved the origin
    client_certificate TEXT,        -- SHA-256 of the TLS client certificate, if any
    edus TEXT NOT NULL,             -- a list, as received
    reply BLOB NOT NULL,            -- the body of the 200 that was sent
    UNIQUE (origin, txn_id)
);

CREATE TABLE received_pdus (
    transaction_id BIGINT NOT NULL REFERENCES received_transactions (id),
    position INTEGER NOT NULL,      -- in the transaction, from 0
    event_id TEXT,                  -- null where the PDU's form lets none be computed
    room_version TEXT,              -- the one it was judged by
    verdict TEXT NOT NULL,          -- "accepted", "redacted: ...", "rejected: ..."
    event TEXT NOT NULL,            -- as received; as redacted if the verdict says so
    PRIMARY KEY (transaction_id, position)
);

-- The version of each room whose create event was accepted.
CREATE TABLE rooms (
    room_id TEXT PRIMARY KEY,
    room_version TEXT NOT NULL
);

-- What is owed to other servers, in the order in which it was handed over. An entry
-- has a txn_id once it was cut into a transaction.
CREATE TABLE outbound_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    pdus TEXT NOT NULL,             -- a list, hashed and signed
    edus TEXT NOT NULL,             -- a list
    txn_id TEXT
);
CREATE INDEX outbound_entries_waiting ON outbound_entries (destination, id)
    WHERE txn_id IS NULL;

-- A transaction keeps its ID and its bytes until it is delivered; at most one of each
-- destination is not.
CREATE TABLE outbound_transactions (
    destination TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    body BLOB NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    delivered_ts BIGINT,            -- null until the destination said 200
    reply TEXT,                     -- what it said with it
    connection TEXT,                -- over which connection: an object
    PRIMARY KEY (destination, txn_id)
);
CREATE UNIQUE INDEX outbound_transactions_owed
    ON outbound_transactions (destination) WHERE delivered_ts IS NULL;

-- A destination that failed last time; deleted by a success.
CREATE TABLE back_offs (
    destination TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,      -- in a row
    next_attempt_ts BIGINT NOT NULL
);

-- Verified peers.
CREATE TABLE peers (
    server_name TEXT PRIMARY KEY,
    verified_by TEXT NOT NULL,      -- "certificate" is never followed by "key-document"
    certificate_sha256 TEXT NOT NULL,   -- of the leaf that was verified last
    pinned_keys TEXT NOT NULL,      -- {key ID: base64}; {} where none were pinned
    first_verified_ts BIGINT NOT NULL,
    last_verified_ts BIGINT NOT NULL
);

-- Other servers' signing keys. Old events need them: of one server, hundreds are kept.
CREATE TABLE server_keys (
    server_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key BLOB NOT NULL,              -- 32 bytes
    valid_until_ts BIGINT,          -- for verifying requests; null for an old key
    expired_ts BIGINT,              -- when an old key stopped being used
    PRIMARY KEY (server_name, key_id)
);
