"""Looking a shard's files over, in levels, and making them whole again."""
