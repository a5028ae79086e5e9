-- The ID of the transaction that was recorded last: one row, which is held by who
-- records another one until that is committed. So no ID becomes visible after a larger
-- one was read, however many write.
CREATE TABLE last_received (
    id BIGINT NOT NULL
);
INSERT INTO last_received SELECT coalesce(max(id), 0) FROM received_transactions;
