"""Tests of the warehouses."""
