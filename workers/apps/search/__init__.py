"""A parallel search and answer system: one question becomes some sixty steps on many processes."""
