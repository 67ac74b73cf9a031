"""rote beside its peers and beside the machine's peak: `make bench` and `make crosscheck`."""
