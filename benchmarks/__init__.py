"""What this project costs beside the in-process original; see README.md."""
