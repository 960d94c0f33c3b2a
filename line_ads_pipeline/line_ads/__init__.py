"""The LINE Ads API for custom audiences: a signed, paced, retrying client with typed answers and errors."""

from line_ads_pipeline.line_ads.client import (
    FILE_SIZE_LIMIT,
    NAME_LIMIT,
    LineAdsClient,
)
from line_ads_pipeline.line_ads.errors import (
    AdAccountNotFound,
    AudienceNotFound,
    AudienceTypeMismatch,
    AuthenticationFailed,
    ClockSkew,
    InvalidBaseUrl,
    LineAdsError,
    MissingCredentials,
    NetworkError,
    PermissionDenied,
    RateLimited,
    RejectedFile,
    RejectedRequest,
    ServerError,
    UnexpectedResponse,
)
from line_ads_pipeline.line_ads.models import (
    FUNCTION_TYPES,
    CustomAudience,
    IdType,
    UploadAction,
    UploadJob,
)
from line_ads_pipeline.line_ads.pace import EvenPace, Pace
from line_ads_pipeline.line_ads.signing import LineAdsAuth

__all__ = [
    "FILE_SIZE_LIMIT",
    "FUNCTION_TYPES",
    "NAME_LIMIT",
    "AdAccountNotFound",
    "AudienceNotFound",
    "AudienceTypeMismatch",
    "AuthenticationFailed",
    "ClockSkew",
    "CustomAudience",
    "EvenPace",
    "IdType",
    "InvalidBaseUrl",
    "LineAdsAuth",
    "LineAdsClient",
    "LineAdsError",
    "MissingCredentials",
    "NetworkError",
    "Pace",
    "PermissionDenied",
    "RateLimited",
    "RejectedFile",
    "RejectedRequest",
    "ServerError",
    "UnexpectedResponse",
    "UploadAction",
    "UploadJob",
]
