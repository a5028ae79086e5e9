"""Being reached by other servers."""
