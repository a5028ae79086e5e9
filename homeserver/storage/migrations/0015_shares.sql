-- 1 where the destination became due because something was queued for it, and has not been
-- served since: of those that wait, the newest are served as well as the oldest.
ALTER TABLE destinations ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;

-- Those that failed last time have fewer slots, and are looked for on their own.
DROP INDEX destinations_due;
CREATE INDEX destinations_due ON destinations (due_ts)
    WHERE due_ts IS NOT NULL AND failures = 0;
CREATE INDEX destinations_due_failing ON destinations (due_ts)
    WHERE due_ts IS NOT NULL AND failures > 0;
