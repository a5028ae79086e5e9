-- The content of an entry is kept in the transaction that it was cut into, and nowhere
-- else.
UPDATE outbound_entries SET pdus = '', edus = ''
    WHERE txn_id IS NOT NULL AND (pdus <> '' OR edus <> '');
