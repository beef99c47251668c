"""The demo: a census of the installed standard library as one workflow, with a worker killed on the way.

``powertools demo`` runs it. It uses only the public API; read ``steps.py`` first. It touches no database but its own.
"""
