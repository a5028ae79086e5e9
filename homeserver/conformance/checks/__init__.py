"""The checks, a module for each area or two; each has checks, or tables of them."""
