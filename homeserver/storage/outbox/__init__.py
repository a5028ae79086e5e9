"""The outbound queue: entries, the transactions built of them, and their leases."""
