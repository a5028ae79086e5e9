"""A small homeserver with mistakes to switch on, and what is told of each."""
