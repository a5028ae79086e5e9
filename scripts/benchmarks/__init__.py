"""What things cost: this server's CPU time, beside that of others."""
