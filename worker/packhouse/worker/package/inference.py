"""``inference_config.json``: the settings a model was measured with, in one form whatever form the engine wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.files import InferenceConfig

_Pair = tuple[str, dict[str, Any]]


def inference_config(settings: Mapping[str, Any], accelerator: Accelerator) -> InferenceConfig:
    """The settings as pairs of execution provider and options, and session options.

    Engines write the providers as a list of names beside ``provider_options``, as a list of pairs, or as one name.
    Where there is none, the accelerator's own is taken.
    """
    session = settings.get("session_options")
    pairs = _pairs(settings.get("execution_provider"), settings.get("provider_options"))
    return InferenceConfig(
        execution_provider=pairs or [(accelerator.execution_provider, {})],
        session_options=session if isinstance(session, dict) else {},
    )


def _pairs(providers: Any, options: Any) -> list[_Pair]:
    if isinstance(providers, str):
        providers = [providers]
    if not isinstance(providers, list):
        return []
    if len(providers) == 2 and isinstance(providers[0], str) and isinstance(providers[1], dict):  # noqa: PLR2004 (a pair)
        return [(providers[0], providers[1])]
    beside: list[Any] = options if isinstance(options, list) else [options]
    pairs: list[_Pair] = []
    for at, provider in enumerate(providers):
        if isinstance(provider, str) and provider:
            own = beside[at] if at < len(beside) else None
            pairs.append((provider, own if isinstance(own, dict) else {}))
        elif isinstance(provider, list) and provider and isinstance(provider[0], str):
            own = provider[1] if len(provider) > 1 else None
            pairs.append((provider[0], own if isinstance(own, dict) else {}))
    return pairs
