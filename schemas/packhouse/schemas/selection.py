"""Which nodes of a footprint are candidates: what is ranked by the worker, and what a producer has to keep for it."""

from __future__ import annotations

from collections.abc import Iterator

from packhouse.schemas.footprint import Footprint, Node
from packhouse.schemas.ranking import LeftOutReason


def select(footprint: Footprint) -> Iterator[tuple[Node, LeftOutReason | None]]:
    """Each node, in the engine's order, with the reason why it is no candidate, or None where it is one.

    Candidates are the nodes that the engine marked; where it marked none, the ends of the lineage that have a model.
    """
    marked = any(node.is_output for node in footprint.nodes)
    # Only where none is marked does the lineage say what is an end.
    parents = set[str | None]() if marked else {node.parent_model_id for node in footprint.nodes if _has_model(node)}
    for node in footprint.nodes:
        if node.is_input:
            yield node, LeftOutReason.INPUT_MODEL
        elif marked and not node.is_output:
            yield node, LeftOutReason.NOT_MARKED
        elif node.model is None:
            yield node, LeftOutReason.NO_MODEL
        elif node.model.config.get("is_pruned"):
            yield node, LeftOutReason.PRUNED
        elif node.model_id in parents:
            yield node, LeftOutReason.INTERMEDIATE
        else:
            yield node, None


def candidates(footprint: Footprint) -> list[Node]:
    """The candidates alone, in the engine's order."""
    return [node for node, reason in select(footprint) if reason is None]


def _has_model(node: Node) -> bool:
    return node.model is not None and not node.model.config.get("is_pruned")
