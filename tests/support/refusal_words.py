"""The words with which a name or an ID is refused, whichever kind it is."""

LENGTH_OR_ASCII = "is longer than 255 characters or not ASCII"
BRACKET = "has no `]`, or something other than a port after it"
PORT = "is not 1 to 65535 in up to five digits"
IPV6 = "has no IPv6 address in its brackets"
IPV4 = "ends in a number but is not an IPv4 address of four decimal parts"
LABEL = "must be 1 to 63 letters, digits and hyphens"
