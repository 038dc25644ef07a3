"""The store's own figures: `storage` of the bench command."""
