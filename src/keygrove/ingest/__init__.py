"""From submitted bytes to stored changes."""
