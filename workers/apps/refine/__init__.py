"""Refine: an answer that is drafted, scored and improved until it is good or its rounds are over."""
