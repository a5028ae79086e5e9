"""The identities of our servers: names, keys, certificates."""
