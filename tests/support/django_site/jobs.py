"""A module of workers, which the command of the project for tests finds by its name."""
