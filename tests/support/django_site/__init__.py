"""A Django project for tests, in their own process."""
