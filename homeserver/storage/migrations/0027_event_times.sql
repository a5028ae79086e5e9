-- The `origin_server_ts` of an event with signers; 0 in all other rows, and in those of
-- before. In the index it keeps together what is received at one time, of which event
-- IDs, as hashes, are anywhere: a commit of fifty events writes a few of its pages.
ALTER TABLE received_pdus ADD COLUMN origin_server_ts BIGINT NOT NULL DEFAULT 0;
DROP INDEX received_pdus_signed;
CREATE INDEX received_pdus_signed
    ON received_pdus (server_name, origin_server_ts, event_id)
    WHERE signers IS NOT NULL;
