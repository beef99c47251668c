"""Builds the documentation site from ``docs/`` and the docstrings, with Sphinx and without a network.

``python -m tools.docs_site`` (``make docs``) writes it to ``build/docs``. The pages are copied to ``build/docs-source``
first, where they get what only the site needs: the navigation, which is what ``docs/index.md`` lists; pages of the
root, such as the changelog; and a page of docstrings for each public module. So the pages under ``docs/`` stay plain
Markdown that reads the same in the repository.

Why Sphinx: Material for MkDocs, the usual choice, ends on 2027-05-05, MkDocs itself has had no release since 2024, and
Material's successor is at 0.1. Sphinx and the PyData theme are released every few months, and bring their own search.

The rule that must never break: each warning is an error, so a dead link or a page that no list names fails the build.
"""
