"""What every test has in common: properties are judged by what they find, never by the time they take."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("moorline", deadline=None)
settings.load_profile("moorline")
