"""Which shard holds what, and the way to it."""
