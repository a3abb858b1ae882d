"""Ways to carry out a plan: in this process, or in several."""
