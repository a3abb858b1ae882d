"""Tables, figures and pages from recorded runs: the content of each cell, and its appearance in each format."""
