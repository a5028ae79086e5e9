-- The revision of its room by which a row was written once more, as an outlier that was
-- judged or an event that was redacted; null in all other rows.
ALTER TABLE room_events ADD COLUMN rewritten BIGINT;
CREATE INDEX room_events_rewritten ON room_events (server_name, room_id, rewritten)
    WHERE rewritten IS NOT NULL;
