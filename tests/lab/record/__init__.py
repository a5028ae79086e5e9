"""Tests of homeserver.lab.record."""
