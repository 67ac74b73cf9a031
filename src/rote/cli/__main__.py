"""`python -m rote.cli`."""

from rote.cli.main import main

main()
