"""`proofrig demo`: real runs of the suites in `suites/`, followed on their histories and told."""
