-- The servers whose keys or documents are stored, or that were verified: what was not
-- used for the longest time is forgotten first.
CREATE TABLE known_names (
    server_name TEXT PRIMARY KEY,
    used_ts BIGINT NOT NULL,        -- in milliseconds since 1970, to the hour
    size BIGINT NOT NULL            -- of all that is stored of it, in bytes, about
);
CREATE INDEX known_names_by_use ON known_names (used_ts);
INSERT INTO known_names (server_name, used_ts, size)
    SELECT n.server_name,
        COALESCE((SELECT p.last_verified_ts FROM peers p WHERE p.server_name = n.server_name), 0),
        (SELECT COALESCE(SUM(d.length), 0) FROM key_documents d WHERE d.server_name = n.server_name)
        + 100 * (SELECT COUNT(*) FROM server_keys k WHERE k.server_name = n.server_name)
        + COALESCE((SELECT LENGTH(p.pinned_keys) FROM peers p WHERE p.server_name = n.server_name), 0)
    FROM (
        SELECT server_name FROM peers
        UNION SELECT server_name FROM server_keys
        UNION SELECT server_name FROM key_documents
    ) n;
