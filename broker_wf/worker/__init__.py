"""A process that executes."""
