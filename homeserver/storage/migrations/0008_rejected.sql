-- In public words: a transaction that is never sent again was rejected. What failed is
-- sent again.
ALTER TABLE outbound_transactions RENAME COLUMN refused_ts TO rejected_ts;
ALTER TABLE destinations RENAME COLUMN refused TO rejected;
