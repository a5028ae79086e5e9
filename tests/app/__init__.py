"""Tests of homeserver.app."""
