-- The time by which ages were counted last, in milliseconds since 1970; 0 before the
-- first time. A clock that is set far forward does not take it along.
ALTER TABLE retention ADD COLUMN aged_ts BIGINT NOT NULL DEFAULT 0;
