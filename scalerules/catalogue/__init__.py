"""Graphs and backends by name, by path, or by a user's factory."""

from .backends import backend, backends
from .graphs import catalogue, graph

__all__ = ["backend", "backends", "catalogue", "graph"]
