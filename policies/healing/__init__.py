"""Policies that replace what does not work, and tell people what they can not mend."""
