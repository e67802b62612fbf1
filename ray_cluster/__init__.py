"""The agent's ports on a real Ray cluster. The only package that imports ray."""
