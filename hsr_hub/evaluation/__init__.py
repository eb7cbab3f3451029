"""Metrics, test sets, and the runner that measures a network on them."""
