"""Tests of homeserver.lab.dns_server."""
