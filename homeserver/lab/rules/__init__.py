"""Rules: faults of servers without code."""
