"""Tests of homeserver.net.tls."""
