"""Composition, an endpoint's life, the process."""
