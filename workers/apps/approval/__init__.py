"""Approval: a text that a person approves, or has revised, before it is published."""
