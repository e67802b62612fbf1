"""Stream processors that turn rows into symptoms."""
