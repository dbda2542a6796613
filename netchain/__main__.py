"""`python -m netchain`."""

from netchain.cli import main

main()
