-- Other servers' version 2 key documents as they came, for who asks us for them. One
-- goes when a later one lists all its keys and is valid for as long.
CREATE TABLE key_documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server_name TEXT NOT NULL,
    keys TEXT NOT NULL,             -- {key ID: base64}, current and old ones
    valid_until_ts BIGINT NOT NULL, -- as the document says
    fetched_ts BIGINT NOT NULL,     -- the last time that it came
    length INTEGER NOT NULL,        -- of the document, in bytes
    document TEXT NOT NULL
);
CREATE INDEX key_documents_by_name ON key_documents (server_name, id);
