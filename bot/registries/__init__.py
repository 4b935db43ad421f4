"""Container registries: the OCI client, credentials, the egress guard and the memo.

The only package that talks to registries.  "Registry" always means a container registry.
"""
