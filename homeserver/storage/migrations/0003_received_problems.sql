-- What was wrong with a transaction that was taken all the same: a list of sentences.
ALTER TABLE received_transactions ADD COLUMN problems TEXT NOT NULL DEFAULT '[]';

-- Events that come again are known by their IDs.
CREATE INDEX received_pdus_by_event ON received_pdus (event_id);
