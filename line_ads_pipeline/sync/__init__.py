"""Bringing a snapshot to a LINE custom audience: which audience, which chunks, and what was confirmed."""

from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import (
    AudienceBusy,
    AudienceContended,
    AudienceNotOurs,
    AudienceUnusable,
    NameTaken,
    NoValidIdentifiers,
    OlderThanConfirmed,
    SeveralAudiences,
    SyncError,
    UploadJobFailed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.manifest import SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.synchroniser import Patience, Synchroniser, SyncResult

__all__ = [
    "AudienceBusy",
    "AudienceContended",
    "AudienceNotOurs",
    "AudienceRecords",
    "AudienceUnusable",
    "Destination",
    "NameTaken",
    "NoValidIdentifiers",
    "OlderThanConfirmed",
    "Patience",
    "SeveralAudiences",
    "SyncError",
    "SyncMode",
    "SyncResult",
    "Synchroniser",
    "UploadJobFailed",
    "UploadJobUnfinished",
    "UploadUnsettled",
]
