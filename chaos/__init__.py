"""Kills and faults: a small study is killed wherever it touches the disk, and has to end as if nothing had happened."""
