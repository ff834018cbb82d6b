"""Import paths of llama-index-workflows for names that others catch; there is nothing of its own here."""
