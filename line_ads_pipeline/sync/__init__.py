"""Bringing a snapshot to a LINE custom audience: which audience, which chunks, and what was confirmed."""

from line_ads_pipeline.sync.confirmed import Confirmed, Hold
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import (
    AudienceBusy,
    AudienceContended,
    AudienceNotOurs,
    AudienceUnusable,
    GuardrailsStopped,
    NameTaken,
    NoValidIdentifiers,
    OlderThanConfirmed,
    OnHold,
    OptOutsNotComparable,
    Overtaken,
    PassedOver,
    RollbackOfAdd,
    SeveralAudiences,
    SyncError,
    UploadJobFailed,
    UploadJobNotListed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.guardrails import Finding, Guardrails
from line_ads_pipeline.sync.manifest import Sync, SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.request import SyncRequest, SyncResult
from line_ads_pipeline.sync.synchroniser import Synchroniser, WhenEmpty
from line_ads_pipeline.sync.uploader import Patience

__all__ = [
    "AudienceBusy",
    "AudienceContended",
    "AudienceNotOurs",
    "AudienceRecords",
    "AudienceUnusable",
    "Confirmed",
    "Destination",
    "Finding",
    "Guardrails",
    "GuardrailsStopped",
    "Hold",
    "NameTaken",
    "NoValidIdentifiers",
    "OlderThanConfirmed",
    "OnHold",
    "OptOutsNotComparable",
    "Overtaken",
    "PassedOver",
    "Patience",
    "RollbackOfAdd",
    "SeveralAudiences",
    "Sync",
    "SyncError",
    "SyncMode",
    "SyncRequest",
    "SyncResult",
    "Synchroniser",
    "UploadJobFailed",
    "UploadJobNotListed",
    "UploadJobUnfinished",
    "UploadUnsettled",
    "WhenEmpty",
]
