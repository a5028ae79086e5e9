"""Rooms: their history in a file, explained and drawn."""
