"""SKS set reconciliation: how two servers find the certificates that each of them lacks."""
