"""The console as a program of its own: who is at the browser, several databases, and the server. ``powertools web``.

Not for consoles that a host mounts: there the host's middleware says who somebody is. The rule that must never break: a
console that others than this machine can reach knows whom it answers.
"""
