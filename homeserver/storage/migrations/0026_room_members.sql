-- The users that are joined in the current state of each room. A room of before has none
-- here until it changes next.
CREATE TABLE room_members (
    server_name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    peer TEXT NOT NULL,             -- the user's server
    PRIMARY KEY (server_name, user_id, room_id)
);
CREATE INDEX room_members_by_room ON room_members (server_name, room_id, peer);

-- The number of the state that has these users; that of the empty one at first.
ALTER TABLE joined_rooms ADD COLUMN members_state BIGINT NOT NULL DEFAULT 0;
