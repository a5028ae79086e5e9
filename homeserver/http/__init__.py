"""Our listeners: TLS, HTTP within limits, routes, the request log."""
