"""Trust: evidence gathered per digest, judged by pure rules, weighed by a policy.

A check is one module with `gather` and `judge`, one line in `CHECKS` and one folder of golden
cases.  I/O beyond the look-ups of `Sources` lives in `trust.sources`.
"""
