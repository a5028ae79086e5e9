"""Attacks on an endpoint while an honest pair uses it."""
