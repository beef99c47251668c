"""Powertools and its peers in one table: each system in an environment of its own, in turns, on one PostgreSQL.

``python -m bench.peers`` measures. ``host`` runs one system in one process, with that system's interpreter; whatever it
imports on its way needs nothing but the standard library, psycopg and the system itself.
"""
