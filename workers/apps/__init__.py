"""Example applications: each package holds an ``app`` module whose ``workflow`` a worker serves."""
