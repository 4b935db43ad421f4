"""Forges: where repositories live.  They expose objects and writes, never workflow.

The publish guard stands in this layer, before every write.
"""
