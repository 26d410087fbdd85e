"""The contract between engines and Packhouse: events, packaging config, status, and the files inside a package."""

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Document, canonical_json, content_digest
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, Problem, TransientError
from packhouse.schemas.events import AzureMLWorkspace, Engine, FinishedRun, Package, RunFinished
from packhouse.schemas.footprint import Footprint, Metric, ModelConfig, Node
from packhouse.schemas.keys import Keys, run_key
from packhouse.schemas.packaging import PACKAGING_CONFIGS, PackagingConfig, PackagingOptions, PackagingType
from packhouse.schemas.ranking import Ranking
from packhouse.schemas.status import STATUS_EVENT, CompletedEvent, PackageResult, RejectedEvent, RunState, StatusEvent

__all__ = [
    "PACKAGING_CONFIGS",
    "STATUS_EVENT",
    "Accelerator",
    "AzureMLWorkspace",
    "CompletedEvent",
    "Document",
    "Engine",
    "ErrorCode",
    "FinishedRun",
    "Footprint",
    "Keys",
    "Metric",
    "ModelConfig",
    "Node",
    "Package",
    "PackageResult",
    "PackagingConfig",
    "PackagingOptions",
    "PackagingType",
    "PackhouseError",
    "PermanentError",
    "Problem",
    "Ranking",
    "RejectedEvent",
    "RunFinished",
    "RunRef",
    "RunState",
    "StatusEvent",
    "TransientError",
    "canonical_json",
    "content_digest",
    "run_key",
]
