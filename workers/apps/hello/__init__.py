"""The smallest application: two steps and one event between them."""
