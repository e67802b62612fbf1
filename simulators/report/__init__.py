"""What a run looked like, as HTML pages that need no network."""
