"""Tests of homeserver.control."""
