"""The grammar of Dockerfiles: bytes in, references with byte spans out.

Pure, and on bytes, so that a Latin-1 comment stops nothing.  Our own scanner decides.
dockerfile-parse takes a heredoc's body for instructions, knows few forms of `${}` and no
`COPY --from`, `RUN --mount`, `ONBUILD` or `# syntax`, tells lines only and fails on a byte that
is not UTF-8; where none of that occurs it is right, and the tests hold the two against each other.  It is
asked before an edit is vouched for: see `second_reader`.
"""

from __future__ import annotations

from bot.dockerfile.images import Scan, scan
from bot.dockerfile.uses import Use

__all__ = ["Scan", "Use", "scan"]
