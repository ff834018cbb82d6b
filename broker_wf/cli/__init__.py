"""The command ``broker-wf``."""
