"""What the Makefile does that is longer than a line; none of it is in the package."""
