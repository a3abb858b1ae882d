"""Plans the runs that a table needs, makes them and records them."""
