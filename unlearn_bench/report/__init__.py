"""From recorded runs to tables: what a cell holds, and how it looks in each format."""
