-- The rooms that one of our names takes part in, with their events and states.

CREATE TABLE joined_rooms (
    server_name TEXT NOT NULL,
    room_id TEXT NOT NULL,
    room_version TEXT NOT NULL,
    revision BIGINT NOT NULL,       -- counts the changes: a process that has read an
                                    -- earlier one reads the room again
    extremities TEXT NOT NULL,      -- the IDs of the forward extremities: a list
    current_state BIGINT NOT NULL,  -- the number of the state after all of them
    is_listed INTEGER NOT NULL DEFAULT 0,   -- 1: it is in the list of public rooms
    PRIMARY KEY (server_name, room_id)
);

-- A state is the difference from an earlier one, or from nothing.
CREATE TABLE room_states (
    server_name TEXT NOT NULL,
    room_id TEXT NOT NULL,
    number BIGINT NOT NULL,         -- from 0, the empty state
    base BIGINT,                    -- the number of the earlier state, or null
    changes TEXT NOT NULL,          -- a list of [type, state key, event ID or null]
    PRIMARY KEY (server_name, room_id, number)
);

CREATE TABLE room_events (
    server_name TEXT NOT NULL,
    room_id TEXT NOT NULL,
    position BIGINT NOT NULL,       -- in the order of arrival, from 0
    event_id TEXT NOT NULL,
    outcome TEXT NOT NULL,          -- one of protocol.rooms.receipt.Outcome
    check_number INTEGER NOT NULL,  -- the check on receipt that decided it
    rule TEXT NOT NULL,             -- the authorization rule that decided it
    why TEXT NOT NULL,
    state_before BIGINT,            -- the number of a state; null if it is not known
    state_after BIGINT,             -- the same
    redacted_by TEXT,               -- the ID of the redaction that applies, if any
    event TEXT NOT NULL,            -- as received or made, before a redaction
    PRIMARY KEY (server_name, room_id, position)
);
CREATE UNIQUE INDEX room_events_by_id ON room_events (server_name, event_id, room_id);

CREATE TABLE room_aliases (
    server_name TEXT NOT NULL,
    alias TEXT NOT NULL,
    room_id TEXT NOT NULL,
    PRIMARY KEY (server_name, alias)
);

-- Invites of users of ours to rooms that we are not in.
CREATE TABLE received_invites (
    server_name TEXT NOT NULL,
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,          -- the invited one
    number BIGINT NOT NULL,         -- in the order of arrival, of each name
    origin TEXT NOT NULL,           -- the server that sent it
    room_version TEXT NOT NULL,
    event TEXT NOT NULL,            -- with our signature
    room_state TEXT NOT NULL,       -- what came with it of the room: a list
    PRIMARY KEY (server_name, room_id, user_id)
);
CREATE INDEX received_invites_by_number ON received_invites (server_name, number);
