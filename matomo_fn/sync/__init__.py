"""A sync: what is due, running it, and remembering what was done."""
