"""`moorline doctor`: looks at settings, database, receiver, registries and forges, and says what to do.

It reads, and changes nothing: no database is made or upgraded, and no forge is written to.
"""
