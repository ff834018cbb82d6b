"""Workflows over HTTP: the routes of LlamaIndex, those of our own, and the page."""
