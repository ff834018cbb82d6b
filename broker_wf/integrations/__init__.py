"""Workflows of other libraries on this engine."""
