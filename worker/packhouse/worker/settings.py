"""The worker's settings: read once from the environment, then passed to whatever needs them."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from packhouse.schemas.errors import ErrorCode, explain, invalid
from packhouse.schemas.events import MAX_EVENT_BYTES, AzureMLWorkspace
from packhouse.schemas.keys import DEFAULT_NAMESPACE
from packhouse.schemas.paths import PathMap
from packhouse.schemas.signing import SigningKey
from packhouse.worker.server_url import check_server_url
from packhouse.worker.setting_files import settings_in_files

_MIB = 1024 * 1024
_GIB = 1024 * _MIB
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}/(\*|\$?[a-z0-9-]{3,63})")


class Settings(BaseSettings):
    """Each setting is an environment variable, ``PACKHOUSE_`` and its name in capitals, or lies in a file."""

    model_config = SettingsConfigDict(env_prefix="PACKHOUSE_", frozen=True, extra="ignore", allow_inf_nan=False)

    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", description="Redis server with the streams, the ledger and Celery's queues."
    )
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = Field(
        default=DEFAULT_NAMESPACE, description="First part of every key, so that several Packhouses share a server."
    )
    roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Storage roots, separated by colons: nothing outside them is read or written."
    )
    path_maps: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="How the engines' paths are found here: FROM=TO, several separated by semicolons."
    )
    max_event_bytes: int = Field(
        default=MAX_EVENT_BYTES, ge=1024, description="Longest event that is read; a longer one is rejected."
    )
    max_dataref_bytes: int = Field(
        default=64 * _MIB, ge=1024, description="Longest document that an event may name as its data (`dataref`)."
    )
    event_keys: Annotated[tuple[SigningKey, ...], NoDecode] = Field(
        default=(),
        description="Keys of which one must have signed an event: id:secret, the secret in hexadecimal, several "
        "separated by semicolons; none, no event has to be signed.",
    )
    event_seconds: float = Field(
        default=3600.0, ge=1, description="How old a signed event may be when it comes to the run queue."
    )
    lease_seconds: float = Field(
        default=30.0, ge=0.5, description="How long a lease holds without being renewed by the process at work."
    )
    stage_seconds: float = Field(
        default=900.0, ge=1, description="How long a stage of packaging may show no progress before its lease lapses."
    )
    sweep_seconds: float = Field(
        default=2.0, ge=0.1, description="How often recovery looks for work whose worker or wake-up was lost."
    )
    crash_limit: int = Field(
        default=3, ge=1, description="Crashes of the packaging process after which a package fails as worker_lost."
    )
    loss_limit: int = Field(
        default=50, ge=1, description="Losses of a whole worker after which a package fails as worker_lost."
    )
    retry_limit: int = Field(default=6, ge=1, description="Attempts at a package while its errors are transient.")
    retry_seconds: float = Field(
        default=2.0, ge=0.01, description="Pause after the first transient error; it doubles, with jitter."
    )
    retry_seconds_max: float = Field(default=120.0, ge=0.01, description="Longest pause between attempts.")
    retention_days: float = Field(
        default=30.0,
        gt=0,
        validate_default=True,
        description="How long the record and the final event of a run are kept.",
    )
    status_length: int = Field(default=100_000, ge=100, description="About how many status events are kept.")
    progress_length: int = Field(default=10_000, ge=100, description="About how many progress events are kept.")
    dead_letter_length: int = Field(default=1_000, ge=1, description="About how many dead letters are kept.")
    dead_letter_bytes: int = Field(
        default=_MIB, ge=1024, description="Of a longer dead letter only the head, its length and digest are kept."
    )
    dead_letter_total_bytes: int = Field(
        default=64 * _MIB, ge=1024, description="How much the dead letters keep in all; the oldest go first."
    )
    failed_event_bytes: int = Field(
        default=256 * _MIB,
        ge=0,
        description="How much of the events of runs with failed packages is kept in all, for `packhouse retry`; the "
        "oldest go first.",
    )
    fsync: Literal["always", "never"] = Field(
        default="always",
        description="Whether a ZIP is on disk before it gets its name. With never it is there sooner, and a package "
        "that was told of may be damaged where a machine loses power; processes that die still do no harm.",
    )
    soft_shutdown_seconds: float = Field(
        default=20.0, ge=0, description="How long a stopping worker lets its packages finish before it hands them back."
    )
    run_dir: str | None = Field(
        default=None,
        description="Folder in which workers tell `packhouse health` how they are; `packhouse-UID` among the temporary "
        "files where none is given.",
    )
    health_seconds: float = Field(
        default=60.0, ge=1, description="How long the main loop or a thread of a worker may hang until it is not alive."
    )
    health_server_seconds: float = Field(
        default=600.0, ge=1, description="How long a worker may be without the server until it is not alive."
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port on which the worker serves `/metrics` to Prometheus, 0 for any free one; none, no metrics.",
    )
    metrics_address: str = Field(default="127.0.0.1", description="Address that it serves them on.")
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="Logs as text for people or as JSON for programs; auto is text on a terminal."
    )
    traces: Annotated[str, StringConstraints(pattern=r"^(otlp|/.+)$")] | None = Field(
        default=None,
        description="Where traces go: otlp (to OTEL_EXPORTER_OTLP_ENDPOINT, by HTTP), or the path of a file of JSON "
        "lines; none, no traces. Needs the extra `tracing`.",
    )
    azure_workspaces: Annotated[tuple[AzureMLWorkspace, ...], NoDecode] = Field(
        default=(),
        description="Azure ML workspaces that events may name, as subscription/resource_group/workspace, separated by "
        "semicolons; the first is used where an event names none.",
    )
    azure_config: str | None = Field(
        default=None,
        description="Path of an Azure ML config.json: its workspace may be named too, and is used where no other is.",
    )
    azure_accounts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Blob containers that events may read and write, as account/container or account/*, separated by "
        "semicolons. The default workspace's datastore is one without being listed.",
    )
    azure_datastore: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,255}$")] | None = Field(
        default=None, description="Datastore that assets are put into. Default: the workspace's own default."
    )
    azure_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", max_length=200)] = Field(
        default="packhouse", description="Folder of the datastore that everything of Packhouse lies in."
    )
    azure_default_version: Literal["1", "auto"] = Field(
        default="1", description="Version of assets whose packaging config gives none; auto is the next free number."
    )
    check_models: Literal["run", "load", "off"] = Field(
        default="run",
        description="How a model is tried before it is packaged, in a process of its own: run (load it, and run it on "
        "generated inputs), load, or off.",
    )
    check_fails: Annotated[tuple[Literal["failed", "inconclusive", "not_checked"], ...], NoDecode] = Field(
        default=("failed",),
        description="Verdicts of that which fail a package, separated by semicolons: failed, inconclusive, "
        "not_checked; empty for none.",
    )
    check_seconds: float = Field(
        default=300.0, ge=1, description="How long trying a model may take; half a minute more for each GiB of it."
    )
    check_memory_bytes: int = Field(
        default=4096 * _MIB,
        ge=256 * _MIB,
        description="How much memory trying a model may take, besides four times the model's own size.",
    )
    check_max_bytes: int = Field(
        default=16 * 1024 * _MIB, ge=0, description="Largest model that is tried, with all of its weights."
    )
    check_copy_bytes: int = Field(
        default=1024 * _MIB,
        ge=0,
        description="Most bytes of a model that are copied to try it: of one in blobs, or of scattered files.",
    )
    scratch: Annotated[str, StringConstraints(pattern=r"^/")] | None = Field(
        default=None, description="Folder for what is needed only while a model is tried. Default: the system's own."
    )
    runtime_folder: Annotated[str, StringConstraints(pattern=r"^/")] | None = Field(
        default=None, description="Folder with wheels and NuGet packages, for sites without a network."
    )
    runtime_source: Literal["index", "folder", "off"] = Field(
        default="index",
        description="Where runtime packages come from: index (pip's own and PACKHOUSE_NUGET_INDEX), folder "
        "(PACKHOUSE_RUNTIME_FOLDER), or off for none at all.",
    )
    runtime_missing: Literal["warn", "fail"] = Field(
        default="warn", description="Whether a runtime package that cannot be had is a warning or fails the package."
    )
    runtime_platforms: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{3,60}$")], ...], NoDecode
    ] = Field(
        default=("linux_x86_64",),
        description="Platforms to have wheels for, separated by semicolons: linux_x86_64, linux_aarch64, win_amd64, "
        "win_arm64, macosx_arm64, macosx_x86_64, or a platform tag of wheels.",
    )
    runtime_pythons: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^3\.\d{1,2}$")], ...], NoDecode] = (
        Field(default=("3.11",), description="Python versions to have wheels for, separated by semicolons.")
    )
    runtime_dependencies: bool = Field(
        default=False,
        description="Whether what the runtime packages need is packed too, so that they install without a network.",
    )
    runtime_seconds: float = Field(default=600.0, ge=1, description="How long fetching one runtime package may take.")
    runtime_file_bytes: int = Field(default=4 * _GIB, ge=1024, description="Largest runtime package that is fetched.")
    nuget_index: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+/\S*$")] | None = Field(
        default=None,
        description="Address of the service index (index.json) of a NuGet v3 feed; none, no NuGet packages.",
    )
    nuget_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Hosts besides its own that the NuGet feed may send to, separated by semicolons."
    )
    fetch_environment: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*=")], ...], NoDecode] = (
        Field(
            default=(),
            description="Environment variables that fetching of runtime packages sees instead of the worker's own, "
            "such as a proxy: NAME=VALUE, or NAME= for one that it shall not see; several separated by semicolons.",
        )
    )
    cache_dir: Annotated[str, StringConstraints(pattern=r"^/")] | None = Field(
        default=None,
        description="Folder where what was fetched is kept for other packages; it may be shared by workers. "
        "Default: packhouse in the user's cache folder.",
    )
    cache_bytes: int = Field(
        default=10 * _GIB,
        ge=0,
        description="How much of runtime packages is kept there; what was not used for longest goes first.",
    )
    blob_cache_bytes: int = Field(
        default=20 * _GIB,
        ge=0,
        description="How much of models that lie in blobs is kept there besides, so that all packages on a machine "
        "read them once; 1 GiB of the disk stays free. 0 keeps none.",
    )

    @field_validator(
        "check_fails", "runtime_platforms", "runtime_pythons", "nuget_hosts", "fetch_environment", mode="before"
    )
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(";")))) if isinstance(value, str) else value

    @field_validator("event_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        keys = tuple(SigningKey.parse(text) for text in value.split(";") if text.strip())
        if len({key.id for key in keys}) != len(keys):
            raise ValueError("two keys have the same id")
        return keys

    @field_validator("retention_days")
    @classmethod
    def _remembers_signed_events(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("event_keys") and info.data.get("event_seconds", 0) > value * 86400:
            raise ValueError("must be longer than PACKHOUSE_EVENT_SECONDS: a run that is forgotten could be replayed")
        return value

    @field_validator("runtime_source")
    @classmethod
    def _folder_is_named(cls, value: str, info: ValidationInfo) -> str:
        if value == "folder" and not info.data.get("runtime_folder"):
            raise ValueError("folder needs PACKHOUSE_RUNTIME_FOLDER")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return check_server_url(value)

    @field_validator("roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @field_validator("roots")
    @classmethod
    def _absolute_roots(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not text.startswith("/"):
                raise ValueError(f"{text[:200]!r} is not the absolute path of a folder")
        return value

    @field_validator("azure_workspaces", mode="before")
    @classmethod
    def _parse_workspaces(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(AzureMLWorkspace.parse(text) for text in value.split(";") if text.strip())

    @field_validator("azure_accounts", mode="before")
    @classmethod
    def _split_accounts(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(";")))) if isinstance(value, str) else value

    @field_validator("azure_accounts")
    @classmethod
    def _accounts_with_containers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not _ACCOUNT.fullmatch(text):
                raise ValueError(f"{text[:200]!r} is neither account/container nor account/*")
        return value

    @field_validator("path_maps", mode="before")
    @classmethod
    def _split_maps(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(";"))) if isinstance(value, str) else value

    @property
    def path_map(self) -> PathMap:
        """The mapping from the engines' view to this worker's. Raises ``PermanentError``."""
        return PathMap.parse(self.path_maps)


def load(**given: Any) -> Settings:
    """The settings of the environment and its files, those ``given`` put over them.

    Raises ``PermanentError`` where one is bad.
    """
    values: dict[str, Any] = {**settings_in_files(Settings.model_fields, os.environ), **given}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        complaints = [(f"PACKHOUSE_{field.upper()}", sentence) for field, sentence in explain(error)]
        raise invalid(
            ErrorCode.CONFIGURATION_INVALID, "The worker's settings are wrong", complaints, fix="Correct the variable."
        ) from None
    settings.path_map  # noqa: B018 (a bad mapping is refused now, not at the first event)
    return settings
