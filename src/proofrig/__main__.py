"""`python -m proofrig` is `proofrig`."""

from proofrig.cli.main import main

main()
