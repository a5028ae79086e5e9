"""What the specification says of a room: who may do what, and which state holds.

Rules: events and states come in as values, verdicts and states go out. No I/O, no
clock, no randomness; signatures of events are verified before.
"""
