"""Migrations: one for each release that changes the schema; a test says when one is missing."""
