-- A transaction ID that comes again with other content is another transaction, of which
-- only what is new is recorded, and which has a reply of its own. SQLite drops no
-- constraint, so both tables are copied.
ALTER TABLE received_pdus RENAME TO old_received_pdus;
ALTER TABLE received_transactions RENAME TO old_received_transactions;
CREATE TABLE received_transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
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
    UNIQUE (origin, txn_id, digest)
);
CREATE TABLE received_pdus (
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
INSERT INTO received_transactions (id, origin, txn_id, digest, received_ts, key_id,
        client_certificate, edus, problems, remarks, reply)
    SELECT id, origin, txn_id, CAST('' AS BLOB), received_ts, key_id,
        client_certificate, edus, problems, '[]', reply
    FROM old_received_transactions ORDER BY id;
INSERT INTO received_pdus (transaction_id, position, event_id, room_version, verdict,
        event, room_version_source, signers)
    SELECT transaction_id, position, event_id, room_version, verdict, event,
        room_version_source, signers
    FROM old_received_pdus ORDER BY transaction_id, position;
DROP TABLE old_received_pdus;
DROP TABLE old_received_transactions;
CREATE INDEX received_pdus_signed ON received_pdus (event_id)
    WHERE signers IS NOT NULL;
