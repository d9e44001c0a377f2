"""`python -m prunescope`: the command line, where the script `prunescope` is not on the path."""

from prunescope.cli.main import run

run()
