"""proofrig: the test rig that runs AI agents the way production will."""
