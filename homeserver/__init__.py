"""A minimal reference homeserver federation endpoint for Matrix."""

__version__ = "0.1.0"
