"""The door of agents: the calls of operators as tools of the Model Context Protocol, over standard input and output.

Needs the extra ``mcp``; ``powertools mcp`` opens it. Not for people (``cli``, the console) and not for programs of the
host (``calls``). The rules that must never break: an agent changes nothing but through a previewed repair that the
host's policy lets it execute, and what is stored in the database is handed to it as data, never as instructions.
"""
