"""Whether a signature over a digest was made by a key: one module for each family of algorithms."""
