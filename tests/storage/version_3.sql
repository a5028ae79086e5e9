-- What two endpoints of version 3 left in the store of one of them: SQLite's own dump.
BEGIN TRANSACTION;
CREATE TABLE back_offs (
    destination TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,      -- in a row
    next_attempt_ts BIGINT NOT NULL
);
INSERT INTO "back_offs" VALUES('down.test:1',9,1795604905476);
CREATE TABLE key_documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server_name TEXT NOT NULL,
    keys TEXT NOT NULL,             -- {key ID: base64}, current and old ones
    valid_until_ts BIGINT NOT NULL, -- as the document says
    fetched_ts BIGINT NOT NULL,     -- the last time that it came
    length INTEGER NOT NULL,        -- of the document, in bytes
    document TEXT NOT NULL
);
INSERT INTO "key_documents" VALUES(1,'beta.test','{"ed25519:a_516bd2":"rUIedMB4rKd3lSVieslWSpiPqHmVAQiEcJm0m4z0aK0"}',1795691286995,1795604900328,305,'{"old_verify_keys":{},"server_name":"beta.test","signatures":{"beta.test":{"ed25519:a_516bd2":"sWwx4uWZ39oTUXcSo4GiQui9nTP0BKSHZRh6WQ6LOWnGSmQAc9HFdSe9wIQAhSZrdVMxpZ3BdznFeXTwB9DICQ"}},"valid_until_ts":1795691286995,"verify_keys":{"ed25519:a_516bd2":{"key":"rUIedMB4rKd3lSVieslWSpiPqHmVAQiEcJm0m4z0aK0"}}}');
CREATE TABLE outbound_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    pdus TEXT NOT NULL,             -- a list, hashed and signed
    edus TEXT NOT NULL,             -- a list
    txn_id TEXT
);
INSERT INTO "outbound_entries" VALUES(1,'beta.test','','','1795604886570-1');
INSERT INTO "outbound_entries" VALUES(2,'beta.test','','','1795604890877-2');
INSERT INTO "outbound_entries" VALUES(3,'down.test:1','[]','[{"content":{"number":7},"edu_type":"m.test"}]','1795604901212-3');
INSERT INTO "outbound_entries" VALUES(4,'down.test:1','[]','[{"content":{"number":8},"edu_type":"m.test"}]',NULL);
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
INSERT INTO "outbound_transactions" VALUES('beta.test','1795604886570-1','',1,NULL,1795604887506,'{"pdus":{}}','{"address":"127.0.0.1","certificate_sha256":"81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66","route":"beta.test:50199","verified_by":"key-document"}');
INSERT INTO "outbound_transactions" VALUES('beta.test','1795604890877-2','',1,NULL,1795604890900,'{"pdus":{}}','{"address":"127.0.0.1","certificate_sha256":"81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66","route":"beta.test:50199","verified_by":"key-document"}');
INSERT INTO "outbound_transactions" VALUES('down.test:1','1795604901212-3',X'7B2265647573223A5B7B22636F6E74656E74223A7B226E756D626572223A377D2C226564755F74797065223A226D2E74657374227D5D2C226F726967696E223A22616C7068612E74657374222C226F726967696E5F7365727665725F7473223A313739353630343930313231372C2270647573223A5B5D7D',9,'down.test:1 cannot be reached: down.test:1: down.test has no address (A or AAAA record)',NULL,NULL,NULL);
CREATE TABLE peers (
    server_name TEXT PRIMARY KEY,
    verified_by TEXT NOT NULL,      -- "certificate" is never followed by "key-document"
    certificate_sha256 TEXT NOT NULL,   -- of the leaf that was verified last
    pinned_keys TEXT NOT NULL,      -- {key ID: base64}; {} where none were pinned
    first_verified_ts BIGINT NOT NULL,
    last_verified_ts BIGINT NOT NULL
);
INSERT INTO "peers" VALUES('beta.test','key-document','81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66','{"ed25519:a_516bd2":"rUIedMB4rKd3lSVieslWSpiPqHmVAQiEcJm0m4z0aK0"}',1795604887000,1795604898901);
CREATE TABLE received_pdus (
    transaction_id BIGINT NOT NULL REFERENCES received_transactions (id),
    position INTEGER NOT NULL,      -- in the transaction, from 0
    event_id TEXT,                  -- null where the PDU's form lets none be computed
    room_version TEXT,              -- the one it was judged by
    verdict TEXT NOT NULL,          -- "accepted", "redacted: ...", "rejected: ..."
    event TEXT NOT NULL,            -- as received; as redacted if the verdict says so
    PRIMARY KEY (transaction_id, position)
);
INSERT INTO "received_pdus" VALUES(3,0,'$SaaP8GtQygovrLBHCQdDokwVPx8FSQpVAX8Aw-eM_0k','10','accepted','{"auth_events":[],"content":{"creator":"@a:beta.test","room_version":"10"},"depth":1,"hashes":{"sha256":"M7EPixK9256tirWrzj+QsU7KvXPSVBOBHaM5iFbJf18"},"origin_server_ts":1,"prev_events":[],"room_id":"!r:beta.test","sender":"@a:beta.test","signatures":{"beta.test":{"ed25519:a_516bd2":"Aro7GQwt7xiuCT2TcidaAtMXWe5KCa70ZkvkpXsYWROBTdQ9JHq/KRfJmPwVZGxlHRc/h3g6LrAi1fpZR9vJCw"}},"state_key":"","type":"m.room.create"}');
CREATE TABLE received_transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    received_ts BIGINT NOT NULL,
    key_id TEXT NOT NULL,           -- the key that proved the origin
    client_certificate TEXT,        -- SHA-256 of the TLS client certificate, if any
    edus TEXT NOT NULL,             -- a list, as received
    reply BLOB NOT NULL, problems TEXT NOT NULL DEFAULT '[]',            -- the body of the 200 that was sent
    UNIQUE (origin, txn_id)
);
INSERT INTO "received_transactions" VALUES(1,'beta.test','1795604889401-1',1795604889418,'ed25519:a_516bd2','81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66','[{"content":{"number":0},"edu_type":"m.test"}]',X'7B2270647573223A7B7D7D','[]');
INSERT INTO "received_transactions" VALUES(2,'beta.test','1795604892164-2',1795604892196,'ed25519:a_516bd2','81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66','[{"content":{"number":1},"edu_type":"m.test"}]',X'7B2270647573223A7B7D7D','[]');
INSERT INTO "received_transactions" VALUES(3,'beta.test','1795604894158-3',1795604894202,'ed25519:a_516bd2','81b5278a0768bbbd6ee892d61dc9ff34e2c3d7a7450e3878d7c550df2d9acb66','[{"content":{"number":9},"edu_type":"m.test"}]',X'7B2270647573223A7B2224536161503847745179676F76724C4248435164446F6B7756507838465351705641583841772D654D5F306B223A7B7D7D7D','[]');
CREATE TABLE rooms (
    room_id TEXT PRIMARY KEY,
    room_version TEXT NOT NULL
);
INSERT INTO "rooms" VALUES('!r:beta.test','10');
CREATE TABLE server_keys (
    server_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key BLOB NOT NULL,              -- 32 bytes
    valid_until_ts BIGINT,          -- for verifying requests; null for an old key
    expired_ts BIGINT,              -- when an old key stopped being used
    PRIMARY KEY (server_name, key_id)
);
INSERT INTO "server_keys" VALUES('beta.test','ed25519:a_516bd2',X'AD421E74C078ACA7779525627AC9564A988FA879950108847099B49B8CF468AD',1796209698901,NULL);
CREATE INDEX outbound_entries_waiting ON outbound_entries (destination, id)
    WHERE txn_id IS NULL;
CREATE UNIQUE INDEX outbound_transactions_owed
    ON outbound_transactions (destination) WHERE delivered_ts IS NULL;
CREATE INDEX key_documents_by_name ON key_documents (server_name, id);
CREATE INDEX received_pdus_by_event ON received_pdus (event_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbound_entries',4);
INSERT INTO "sqlite_sequence" VALUES('received_transactions',3);
INSERT INTO "sqlite_sequence" VALUES('key_documents',1);
COMMIT;
