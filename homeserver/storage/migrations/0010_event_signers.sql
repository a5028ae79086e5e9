-- What the room version of a PDU rests on: "create event", "event format" or "default".
ALTER TABLE received_pdus RENAME COLUMN room_version_basis TO room_version_source;
UPDATE received_pdus SET room_version_source = 'event format'
    WHERE room_version_source = 'shape';

-- The servers whose signatures were verified, a list; null where there are none, or none
-- but those that a row before has. Of what was recorded earlier nothing is known.
ALTER TABLE received_pdus ADD COLUMN signers TEXT;
DROP INDEX received_pdus_by_event;
CREATE INDEX received_pdus_signed ON received_pdus (event_id)
    WHERE signers IS NOT NULL;
