"""Arrival rates to come, with quantiles: many series at once, one step (mostly a minute) at a time."""
