"""Discovery: from a server name to routes."""
