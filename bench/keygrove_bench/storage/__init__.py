"""What the store costs, and what it survives."""
