"""Checks methods (conformance), recorded values (regression) and the installation (doctor)."""
