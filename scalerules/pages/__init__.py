"""What HTML pages share, those about a user's architecture and those of the site: frame, style, charts."""

from .frame import page, read, table

__all__ = ["page", "read", "table"]
