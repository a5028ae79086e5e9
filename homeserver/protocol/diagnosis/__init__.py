"""Diagnosis: what would have verified, of a request, an event or a key document.

Rules: a diagnosis accepts nothing. It looks at what was refused, tries the mistakes
that implementations make, and names the one that explains the signature or the hash.
Every search is a generator that yields between slices of its work, and ends within
`search.LIMIT_US`.
"""
