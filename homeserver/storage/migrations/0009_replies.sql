-- The form of the path at which a destination takes transactions: 1 with a slash at its
-- end, as all servers did before 2019.
ALTER TABLE destinations ADD COLUMN slash INTEGER NOT NULL DEFAULT 0;

-- What is wrong with the reply to a delivered transaction: a list of sentences.
ALTER TABLE outbound_transactions ADD COLUMN remarks TEXT NOT NULL DEFAULT '[]';
