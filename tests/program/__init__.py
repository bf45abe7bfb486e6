"""Tests of the whole program: what its user gives it, reads from it, and finds in the tables."""
