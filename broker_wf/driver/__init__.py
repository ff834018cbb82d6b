"""A process that submits, and follows what it submitted."""
