"""What a person runs from a checkout."""
