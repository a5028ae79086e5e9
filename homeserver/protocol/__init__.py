"""What the specification says, as pure functions of values.

Rules of the room: no socket, no clock, no randomness, no Twisted. Bytes and JSON
come in from a peer and become a typed value or a `ProtocolError`; nothing else is
raised.
"""
