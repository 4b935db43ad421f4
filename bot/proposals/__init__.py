"""Texts: titles, bodies, commit messages, from templates and view objects.  Pure."""
