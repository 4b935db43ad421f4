"""Durable work: the queue's protocol and its DBOS adapter, the only importer of DBOS."""
