"""Network without Matrix: addresses, caches, limits, TLS contexts."""
