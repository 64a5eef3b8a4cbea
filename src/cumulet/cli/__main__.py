"""`python -m cumulet.cli`: the same command, for processes that know only their interpreter."""

from cumulet.cli.main import main

main(prog_name="cumulet")
