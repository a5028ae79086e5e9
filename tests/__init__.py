"""Tests of homeserver."""
