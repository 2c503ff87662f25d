"""Is one run better than another, how sure is that, and what differs between them."""
