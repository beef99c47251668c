"""Workers of the project for tests, which its command finds by the module's name."""

IMPORTED = True
