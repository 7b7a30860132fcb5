"""What the server saw of its requests, and what can be proven of them."""

from agentinfra.testing.ledger.ledger import Ledger
from agentinfra.testing.ledger.records import Exchange, RequestRecord, mask, parse_body, shown

__all__ = ["Exchange", "Ledger", "RequestRecord", "mask", "parse_body", "shown"]
