-- What the room version of a PDU rests on: "create event", "shape" or "default". Null of
-- what was judged before this was recorded, and where there is no version.
ALTER TABLE received_pdus ADD COLUMN room_version_basis TEXT;
