"""One module a system, named like it; ``System`` in it is how that system does the work that is measured."""
