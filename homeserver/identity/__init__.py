"""Who we are: names, keys, certificates."""
