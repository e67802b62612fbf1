"""From the journal of a real run to a scenario: what was measured, what is estimated, and what is not known."""
