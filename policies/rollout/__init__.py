"""Policies that bring a new version to the users, or keep it from them."""
