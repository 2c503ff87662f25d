"""Which runs may be compared, which are best, and which of them cannot be told from the best."""
