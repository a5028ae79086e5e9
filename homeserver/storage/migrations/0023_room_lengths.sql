-- What each room takes of the store, as retention counts it.
ALTER TABLE joined_rooms ADD COLUMN length BIGINT NOT NULL DEFAULT 0;
UPDATE joined_rooms SET length = (
    SELECT COALESCE(SUM(300 + LENGTH(event)), 0) FROM room_events
    WHERE room_events.server_name = joined_rooms.server_name
    AND room_events.room_id = joined_rooms.room_id
);
