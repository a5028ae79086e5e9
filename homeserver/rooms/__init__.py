"""Rooms: those that we take part in; a history in a file, explained and drawn."""
