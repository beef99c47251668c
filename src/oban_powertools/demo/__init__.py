"""The demo: a census of the installed standard library as one workflow, with a worker killed on the way.

``powertools demo`` runs it. It shows the public API and nothing else; read ``steps.py`` first. The rule that must
never break: it touches no database but its own.
"""
