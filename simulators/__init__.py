"""A world of events for the agent. Never imports ray."""
