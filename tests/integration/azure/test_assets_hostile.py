"""Names and texts made to harm, on their way into the tags of a workspace: there they are text, or they are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.assets import DATA, MODELS, assets_of, client_of
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas import RejectedEvent, RunFinished
from packhouse.schemas.text import visible
from packhouse.worker.azure.tags import LONGEST_DESCRIPTION, LONGEST_KEY, LONGEST_VALUE, MOST_ENTRIES

# The SDK leaves sockets to be closed when it is collected.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

HOSTILE = (
    "\x1b]0;owned\x07 \0 a\r\nX-Evil: 1 \N{RIGHT-TO-LEFT OVERRIDE}gpj.exe \N{LINE SEPARATOR} "
    "<img src=x onerror=alert(1)> \"'`${jndi:ldap://x} {{7*7}} %s%n ../../x \U000e0041 \N{ZERO WIDTH SPACE}"
)


def hostile(event: RunFinished, **data: Any) -> bytes:
    """The event, with the hostile text wherever an event has one for people."""
    document = json.loads(event.to_wire())
    document["source"] = "/test/engine"
    document["data"]["engine"] = {"name": HOSTILE, "version": (HOSTILE * 60)[:1024]}
    (footprint,) = document["data"]["footprints"]
    for node in footprint["nodes"]:
        node["model_id"] = HOSTILE + node["model_id"]
        if node.get("parent_model_id"):
            node["parent_model_id"] = HOSTILE + node["parent_model_id"]
            node["from_pass"] = HOSTILE
            node["metrics"] = {
                f"{number}{HOSTILE}": {"value": number / 7, "priority": number + 1, "higher_is_better": True}
                for number in range(60)
            } | {"x" * 1024: {"value": 1e308, "priority": 99, "higher_is_better": False}}
    document["data"].update(data)
    return json.dumps(document).encode()


def test_what_is_registered_has_hostile_texts_as_text_and_keeps_to_the_limits(
    farm: Farm, azure_here: AzureStandIn, make_run: RunMaker
) -> None:
    described = {"config": {"version": "auto", "description": f"of two\n{HOSTILE * 20}"}}
    event = make_run(packages=[MODELS | described, DATA | described], candidates=1)
    farm.start()
    farm.publish(hostile(event))
    for result in farm.wait_final(event, seconds=90).data.packages:
        (asset,) = assets_of(result)
        client = client_of(azure_here)
        kind = client.models if result.type == "AzureMLModels" else client.data
        found = kind.get(asset.name, asset.version)
        tags, description = found.tags, found.description
        assert len(tags) == MOST_ENTRIES
        assert all(len(key) <= LONGEST_KEY and visible(key) == key for key in tags)
        assert all(_units(value) <= LONGEST_VALUE and visible(value) == value for value in tags.values())
        assert tags["engine"] == visible(HOSTILE)
        assert "[U+001B]" in tags["model_id"]
        assert description.startswith("of two\n[U+001B]")
        assert description.count("\n") <= 41
        assert _units(description) <= LONGEST_DESCRIPTION
    logs = farm.logs()
    assert "Traceback" not in logs
    assert "\x1b]0;" not in logs
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in logs


def _units(text: str) -> int:
    """Of UTF-16, as the service counts."""
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    "package",
    [MODELS | {"name": HOSTILE}, MODELS | {"name": "x" * 5000}, DATA | {"config": {"version": HOSTILE}},
     DATA | {"config": {"description": "x" * 5001}}],
)  # fmt: skip
def test_names_versions_and_descriptions_beyond_what_azure_takes_are_refused_with_the_event(
    farm: Farm, azure_here: AzureStandIn, make_run: RunMaker, package: dict[str, Any]
) -> None:
    event = make_run()
    farm.start()
    farm.publish(hostile(event, packaging_config=[package]))
    final = farm.wait_end(event)
    assert isinstance(final, RejectedEvent)
    assert "Traceback" not in farm.logs()
    assert not [one for one in azure_here.requests if one.method == "PUT"]
    wait_for(lambda: farm.redis.xlen(farm.keys.dead_letters) == 1, what="the dead letter")
