"""Reaching another server."""
