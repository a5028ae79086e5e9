-- Knocks of users of ours wait for an answer as invites do, with what was shown to them.
ALTER TABLE received_invites RENAME TO pending_memberships;
ALTER TABLE pending_memberships ADD COLUMN membership TEXT NOT NULL DEFAULT 'invite';
