"""Certificates at rest: shard actors, each in front of one store."""
