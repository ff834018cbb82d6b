"""A workflow that is served over HTTP: what the modules of Python's standard library say of themselves."""
