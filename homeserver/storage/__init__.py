"""What must survive: received transactions, the outbound queue, peers' keys."""
