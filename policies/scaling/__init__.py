"""Policies that say how many replicas a deployment shall have."""
