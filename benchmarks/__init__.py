"""What the program costs: rows a second, memory, calls. `python -m benchmarks` prints it; nothing is asserted."""
