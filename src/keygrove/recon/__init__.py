"""Recon with other servers: what they see of this one, and what is fetched from them."""
