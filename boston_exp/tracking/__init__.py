"""Who records: the protocol, where to, one module per backend, and publishing to a server."""
