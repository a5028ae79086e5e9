-- Which updates made it necessary to fetch a list: a random name, another one each time.
-- A reply that was asked for before that does not bring the list up to date.
ALTER TABLE device_lists ADD COLUMN wanted_by TEXT NOT NULL DEFAULT '';
