"""The line-up as the report shows it."""
