"""Measurements: what the documentation claims about speed and size can be repeated here."""
