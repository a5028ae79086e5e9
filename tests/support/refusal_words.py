"""The words with which a name or an ID is refused, whichever kind it is."""

PORT = "is not 1 to 65535 in up to five digits"
LABEL = "must be 1 to 63 letters, digits and hyphens"
