"""A study from request to report: read `study` first."""
