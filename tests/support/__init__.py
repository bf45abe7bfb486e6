"""What the tests stand on: real parts at the edges, each started and stopped by one of these modules."""
