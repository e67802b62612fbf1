"""Scenarios as tests: pytest collects `*.scenario.yaml`."""
