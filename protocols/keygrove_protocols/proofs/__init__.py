"""What a server says of the set that it holds, and how others check it."""
