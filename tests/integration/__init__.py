"""Tests with real sockets, real TLS, real DNS and real processes on loopback."""
