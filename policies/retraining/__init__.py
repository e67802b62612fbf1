"""Policies that say when a model shall learn again."""
