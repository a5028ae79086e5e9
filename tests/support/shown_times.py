"""The time at which a person reads what the commands show."""

# In milliseconds since 1970.
NOW = 1_600_000_000_000
HOUR = 3_600_000
