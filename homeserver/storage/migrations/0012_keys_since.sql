-- When a key was stored first, in milliseconds since 1970; 0 where that was not recorded.
ALTER TABLE server_keys ADD COLUMN since_ts BIGINT NOT NULL DEFAULT 0;
UPDATE server_keys SET since_ts = COALESCE((
    SELECT p.first_verified_ts FROM peers p WHERE p.server_name = server_keys.server_name
), 0);
