"""PostgreSQL addresses in every form people paste, taken apart once.

asyncpg and libpq read the same URL differently: one takes unknown query keys for server settings,
the other refuses them, and an unescaped ``@`` in the password moves the host. So the text is
parsed here, and each driver is given the parts in its own words. A text that could mean two
servers is refused.
"""

from __future__ import annotations

from agentinfra.settings.dsn.dsn import DSN
from agentinfra.settings.dsn.parts import Host

__all__ = ["DSN", "Host"]
