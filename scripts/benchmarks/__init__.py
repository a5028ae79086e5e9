"""The CPU time of this server, beside that of others."""
