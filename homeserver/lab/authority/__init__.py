"""The lab's certificate authority, and certificates that must be refused."""
