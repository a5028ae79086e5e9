-- The last requests that were refused, as JSON objects with all that is shown of them
-- but the ID.
CREATE TABLE refusals (
    id BIGINT PRIMARY KEY,
    refused_ts BIGINT NOT NULL,
    origin TEXT,                    -- the server that the request says it is of
    refusal TEXT NOT NULL
);

-- The ID of the one that was recorded last: as `last_received`.
CREATE TABLE last_refused (
    id BIGINT NOT NULL
);
INSERT INTO last_refused (id) VALUES (0);
