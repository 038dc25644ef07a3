"""Set reconciliation: the prefix tree and what a session computes."""
