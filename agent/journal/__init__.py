"""The record: every observation, decision, intent and outcome, chained by hashes; export and replay."""
