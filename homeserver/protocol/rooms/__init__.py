"""The rules of rooms: authorization, state resolution, making and judging events.

Rules: events and states come in as values, verdicts and states go out. No I/O, no
clock, no randomness. The caller has verified the signatures of events.
"""
