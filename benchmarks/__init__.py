"""One question a file. Each prints a table and writes JSON; README.md holds the last answers."""
