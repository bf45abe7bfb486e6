"""Inputs that nobody would think of: right rows or an error of the program's own, and nothing written by halves."""
