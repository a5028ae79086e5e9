"""The users of our servers that a test defines: devices, keys, tokens and media."""
