-- The devices of other servers' users that share a room with users of one of our names.

CREATE TABLE device_lists (
    server_name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    number BIGINT NOT NULL,         -- in the order of the last change, of each name
    peer TEXT NOT NULL,             -- the user's server
    devices TEXT,                   -- protocol.device_lists.DeviceList in JSON; null if
                                    -- there never was one
    problem TEXT,                   -- why it is not up to date; null if it is
    wanted_by TEXT NOT NULL,        -- which updates made it necessary to fetch it: a
                                    -- random name, another one each time
    length BIGINT NOT NULL,         -- of the row in bytes, about
    PRIMARY KEY (server_name, user_id)
);
-- The number and size of the lists, and which is the oldest, are read from these alone: a
-- row has up to half a megabyte.
CREATE INDEX device_lists_by_number
    ON device_lists (server_name, number, user_id, length);
CREATE INDEX device_lists_by_peer
    ON device_lists (server_name, peer, number, user_id, length);
