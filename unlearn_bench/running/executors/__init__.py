"""Executors of a plan: in this process, or in several."""
