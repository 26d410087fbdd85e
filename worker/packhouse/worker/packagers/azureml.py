"""The packaging types ``AzureMLModels`` and ``AzureMLData``: one registered asset for each candidate.

An asset is a folder in the workspace's datastore, whose name is the digest of what is in it. Both types of one
candidate share the folder; a weight goes over the wire once per storage account. Every step may be done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from typing import ClassVar, Final

from packhouse.schemas.base import Digest, Document, content_digest
from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.schemas.status import Asset
from packhouse.worker.azure.assets import AssetKind, NewAsset
from packhouse.worker.azure.content import AssetFile, ModelPart, content_digest_of, folder_of
from packhouse.worker.azure.folder import FolderWriter
from packhouse.worker.azure.registration import Registrar
from packhouse.worker.azure.tags import describing, properties_of, tags_of
from packhouse.worker.faultpoints import reach
from packhouse.worker.ledger.turns import alone
from packhouse.worker.package.directories import engine_directories
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import Entry, Made, ModelFile
from packhouse.worker.packagers.base import PackageJob, Plan, Poured
from packhouse.worker.packagers.digests import shared_digest
from packhouse.worker.packagers.prepared import Prepared, prepare
from packhouse.worker.storage.readable import Readable, must_be_as_planned

_DISTRIBUTION: Final = "packhouse"


class PlannedAsset(Document, frozen=True):
    """An asset to be registered, with everything that its folder is made of."""

    name: str
    digest: Digest
    files: list[AssetFile]
    tags: dict[str, str]


class AzureMLPlan(Plan, frozen=True):
    """Everything that the assets of a package depend on, beside the bytes of the models."""

    workspace: AzureMLWorkspace
    datastore: str
    account: str
    container: str
    prefix: str
    version: str
    """As asked for: ``auto`` becomes a number when the asset is registered."""
    description: str | None
    plan: str
    """Told by each asset's properties: whether this package registered it."""
    mlflow: bool = False
    """Whether the folders are in the MLflow format."""
    assets: list[PlannedAsset]
    """Best first."""
    checks: list[ModelCheck] = []
    """The verdicts on the candidates, best first."""
    warnings: list[str] = []


class AzureMLPackager:
    """Registers one asset for each candidate, named ``<packaging config name>_<accelerator>_<rank>``."""

    plan_type = AzureMLPlan
    kind: ClassVar[AssetKind]

    def plan(self, job: PackageJob) -> AzureMLPlan:
        """Find, read and digest every file of every candidate, and write every JSON file. Nothing is uploaded.

        Raises ``PermanentError`` and ``TransientError``.
        """
        options = job.config.config
        settings = job.azure.settings
        workspace = job.azure.workspace(job.event.azureml)
        datastore = job.azure.asset_store(job.event.azureml)
        scrub = Scrubber(engine_directories(job.event, job.mapping))
        prepared = prepare(job, scrub, lambda _: "")
        job.progress.stage("digesting", sum(file.size for each in prepared for file in each.candidate.source.files))
        return AzureMLPlan(
            # No other run's: two that register the same content are both right, and the service tells others apart.
            destination=f"azureml:{job.run.source}\0{job.run.id}\0{job.tag}",
            workspace=workspace.ref,
            datastore=datastore.name,
            account=datastore.account,
            container=datastore.container,
            prefix=settings.azure_prefix,
            version=options.version or settings.azure_default_version,
            description=describing(options.description),
            plan=f"{job.tag}-{job.token}",
            mlflow=options.export_in_mlflow_format,
            assets=[_planned(job, each) for each in prepared],
            checks=[each.check for each in prepared],
            warnings=[text for each in prepared for text in each.warnings],
        )

    def pour(self, job: PackageJob, plan: AzureMLPlan) -> Poured:
        """Fill each asset's folder, check it, and register it. What is there already is neither sent nor changed.

        Raises ``PermanentError`` (``asset_version_taken``, ``asset_folder_damaged``, ``model_changed``, …) and
        ``TransientError``.
        """
        pouring = _Pouring(job, plan, self.kind)
        job.progress.stage("checking")
        for asset in plan.assets:
            pouring.must_not_be_taken(asset)
        files = [file for asset in plan.assets for file in asset.files]
        job.progress.stage("uploading", sum(file.size for file in files))
        return Poured(
            assets=tuple([pouring.pour(asset) for asset in plan.assets]),
            bytes=sum(file.size for file in files),
            files=len(files),
            digest=content_digest([asset.digest for asset in plan.assets]),
            checks=tuple(plan.checks),
            warnings=tuple(plan.warnings),
        )

    def discard(self, job: PackageJob, plan: AzureMLPlan) -> None:
        """Nothing: folders are named by their content, another run may use them; ``packhouse gc`` removes the rest."""


class _Pouring:
    """The assets of one package being made."""

    def __init__(self, job: PackageJob, plan: AzureMLPlan, kind: AssetKind) -> None:
        workspace = job.azure.workspace(plan.workspace)
        self._datastore = workspace.datastore(plan.datastore)
        root = BlobAddress(plan.account, plan.container)
        if self._datastore.root != root:
            raise PermanentError(
                ErrorCode.DESTINATION_UNWRITABLE,
                f"The datastore {plan.datastore} is {self._datastore.root} now, and was {root} when this was planned.",
                fix="packhouse retry plans it anew.",
            )
        self._job = job
        self._plan = plan
        self._kind = kind
        self._writer = FolderWriter(job.azure.blobs, job.notebook, job.progress, lambda file: _opened(job, file))
        self._registrar = Registrar(workspace.assets, job.notebook.note, job.progress.commit)

    def must_not_be_taken(self, asset: PlannedAsset) -> None:
        """See ``Registrar``."""
        self._registrar.must_not_be_taken(self._new(asset), asset.digest)

    def pour(self, asset: PlannedAsset) -> Asset:
        """One asset: its folder, then its registration. The folder is nobody else's meanwhile."""
        job, new = self._job, self._new(asset)
        folder = self._datastore.root.child(self._folder(asset))
        with self._writer.using(folder) as keep:
            self._writer.fill(folder, asset.files, keep)
            reach("azure.uploaded")
            turn = f"asset {self._plan.workspace} {self._kind} {asset.name}"
            with alone(job.notebook, turn, lambda: job.progress.advance(0)):
                there, before = self._registrar.register(new, asset.digest)
        return Asset(
            name=there.name,
            version=there.version,
            uri=f"azureml:{there.name}:{there.version}",
            id=there.id,
            datastore_path=new.path,
            digest=asset.digest,
            already_registered=before,
        )

    def _folder(self, asset: PlannedAsset) -> str:
        return folder_of(self._plan.prefix, asset.digest)

    def _new(self, asset: PlannedAsset) -> NewAsset:
        return NewAsset(
            kind=self._kind,
            name=asset.name,
            version=self._plan.version,
            path=self._datastore.path(self._folder(asset)),
            description=self._plan.description,
            tags=asset.tags,
            properties=properties_of(asset.digest, self._plan.plan, version(_DISTRIBUTION)),
            mlflow=self._plan.mlflow,
        )


class AzureMLModelsPackager(AzureMLPackager):
    """Registers model assets of type ``custom_model``."""

    kind = AssetKind.MODEL


class AzureMLDataPackager(AzureMLPackager):
    """Registers data assets of type ``uri_folder``."""

    kind = AssetKind.DATA


def _planned(job: PackageJob, prepared: Prepared) -> PlannedAsset:
    ranked = prepared.candidate.ranked
    files = [_file(job, path, entry) for path, entry in prepared.folder.entries.items()]
    digest = content_digest_of(files)
    return PlannedAsset(
        name=job.config.asset_name(ranked.accelerator, ranked.rank_in_accelerator),
        digest=digest,
        files=files,
        tags=tags_of(job.run, job.event.engine, job.ranking.objectives, ranked, digest, prepared.check.verdict),
    )


def _file(job: PackageJob, path: str, entry: Entry) -> AssetFile:
    if isinstance(entry, Made):
        sha256 = hashlib.sha256(entry.data).hexdigest()
        return AssetFile(path=path, size=len(entry.data), sha256=sha256, made=entry.data.decode())
    if not isinstance(entry, ModelFile):
        raise TypeError(f"{path}: an asset cannot hold {entry}")
    part = ModelPart(shown=entry.location.shown, mark=entry.mark)
    with job.storage.open_file(entry.location) as source:
        must_be_as_planned(source, entry.size, entry.mark)
        sha256 = shared_digest(job, source)
    return AssetFile(path=path, size=entry.size, sha256=sha256, model=part)


@contextmanager
def _opened(job: PackageJob, file: AssetFile) -> Generator[Readable]:
    if file.model is None:
        raise ValueError(f"{file.path} is no file of a model")
    with job.storage.open_file(job.locate(file.model.shown)) as source:
        must_be_as_planned(source, file.size, file.model.mark)
        yield source
