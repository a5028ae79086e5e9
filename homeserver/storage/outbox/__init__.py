"""The outbound queue."""
