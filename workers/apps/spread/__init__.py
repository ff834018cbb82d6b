"""Spread: one run whose parallel steps tell which machine they ran on."""
