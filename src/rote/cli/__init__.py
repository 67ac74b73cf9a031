"""The command line: arguments to the pipeline and back; nothing is computed here."""
