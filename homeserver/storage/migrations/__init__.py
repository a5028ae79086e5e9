"""The schema: numbered scripts, and what runs them."""
