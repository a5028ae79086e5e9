-- The times of a destination's next attempt, under names that say what they decide.
ALTER TABLE destinations RENAME COLUMN earliest_ts TO not_before_ts;
ALTER TABLE destinations RENAME COLUMN at_once TO retry_immediately;
