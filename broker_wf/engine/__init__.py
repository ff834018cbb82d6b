"""One delivery, one commit. No loop, no process."""
