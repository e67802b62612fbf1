"""The demo: a year of real traffic played against a real model, with the agent beside it and faults thrown in."""
