-- What the row of an invite or a knock takes in bytes, about. Their number and size, and
-- which is the oldest, are read from the indexes alone: a row has up to 300 KB.
ALTER TABLE pending_memberships ADD COLUMN length BIGINT NOT NULL DEFAULT 0;
UPDATE pending_memberships SET length = 500 + LENGTH(event) + LENGTH(room_state);
DROP INDEX received_invites_by_number;
CREATE INDEX pending_memberships_by_number
    ON pending_memberships (server_name, number, length);
CREATE INDEX pending_memberships_by_origin
    ON pending_memberships (server_name, origin, number, length);
