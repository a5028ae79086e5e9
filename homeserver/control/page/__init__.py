"""The page for people at `GET /` of the control API, and its files."""
