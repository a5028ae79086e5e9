"""The configuration: its values, and their reader."""
