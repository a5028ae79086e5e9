-- Certificates that an operator trusts for a server, whatever names are in them.
CREATE TABLE certificate_pins (
    server_name TEXT PRIMARY KEY,
    certificate_sha256 TEXT NOT NULL,   -- of the leaf, in hexadecimal
    pinned_ts BIGINT NOT NULL           -- in milliseconds since 1970
);
