"""The rules of the Matrix specification, as pure functions of values.

Rules: no socket, no clock, no randomness, no Twisted. Bytes and JSON from a peer are
parsed into typed values; the only exceptions for bad input are `ProtocolError`s.
"""
