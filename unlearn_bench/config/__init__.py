"""What is measured: read from files and validated. Does not import torch."""
