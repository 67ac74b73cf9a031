"""Certifies the judge on planted worlds: `make calibration` runs it, docs/calibration.md says what came out."""
