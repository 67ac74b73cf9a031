"""The same quantities from rote and from other tools: `make crosscheck`."""
