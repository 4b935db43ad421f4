"""What is remembered: deliveries, wanted heads, proposals, sightings.  SQLite or Postgres."""
