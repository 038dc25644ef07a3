"""Fuzzing of what takes certificates apart: its inputs, its laws, and a campaign of both."""
