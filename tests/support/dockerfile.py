"""The steps of a Dockerfile, as far as ours uses the language. What is not understood is an error."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_KNOWN = frozenset(
    "ARG CMD COPY ENTRYPOINT ENV FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Step:
    """One instruction: its word, its flags (``--from=build``) and the rest of it."""

    word: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The rest, from JSON or split as a shell does."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass
class Stage:
    """What begins with FROM."""

    base: str
    name: str | None
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step:
        """The last instruction of a word."""
        return [step for step in self.steps if step.word == word][-1]

    def environment(self) -> dict[str, str]:
        """What ENV sets, for processes of the image."""
        pairs = [pair for step in self.steps if step.word == "ENV" for pair in step.words]
        return dict(pair.split("=", 1) for pair in pairs)


def read_dockerfile(path: Path, arguments: dict[str, str] | None = None) -> list[Stage]:
    """The stages, with the values of ARG put in: the defaults, or those given."""
    stages: list[Stage] = []
    values: dict[str, str] = {}
    text = re.sub(r"^#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        assert word in _KNOWN, f"this reader does not know {word}"
        rest = _VARIABLE.sub(lambda found: values[found[1]], " ".join(rest.split()))
        if word == "ARG":
            name, _, default = rest.partition("=")
            values[name] = (arguments or {}).get(name, default)
        elif word == "FROM":
            base, *name = re.split(r" AS ", rest)
            stages.append(Stage(base, name[0] if name else None))
        else:
            flags: dict[str, str] = {}
            while word in {"COPY", "HEALTHCHECK"} and (found := re.match(r"--([a-z-]+)=(\S+) ", rest)):
                flags[found[1]] = found[2]
                rest = rest[found.end() :]
            stages[-1].steps.append(Step(word, flags, rest))
    return stages
