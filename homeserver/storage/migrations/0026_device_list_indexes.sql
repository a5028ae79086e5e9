-- The number and size of the lists, and which is the oldest, are read from the indexes: a
-- row has up to half a megabyte.
DROP INDEX device_lists_by_number;
CREATE INDEX device_lists_by_number
    ON device_lists (server_name, number, user_id, length);
CREATE INDEX device_lists_by_peer
    ON device_lists (server_name, peer, number, user_id, length);
