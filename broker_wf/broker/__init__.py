"""What Redis holds and does."""
