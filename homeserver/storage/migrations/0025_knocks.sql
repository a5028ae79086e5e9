-- Knocks of users of ours wait for an answer as invites do, with what was shown to them.
ALTER TABLE received_invites ADD COLUMN membership TEXT NOT NULL DEFAULT 'invite';
