"""The entry points and everything that a person or a trigger talks to."""
