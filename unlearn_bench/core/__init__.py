"""Code that every other part may import. It imports neither torch nor any other part of the project."""
