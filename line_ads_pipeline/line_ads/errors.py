"""What can go wrong with the LINE Ads API, each with its remedy.

* LineAdsError
  + InvalidBaseUrl
  + MissingCredentials
  + AuthenticationFailed
    - ClockSkew
  + PermissionDenied
  + AdAccountNotFound
  + AudienceNotFound
  + AudienceTypeMismatch
  + RateLimited
  + RejectedFile
  + RejectedRequest
  + ServerError
  + NetworkError
  + UnexpectedResponse

The remedies are those of the troubleshooting list in the README.
"""

from typing import ClassVar


class LineAdsError(Exception):
    """Anything that went wrong with a call; the classes below tell what.

    Its text is what happened, LINE's own words for it, and the remedy. Keys and file contents are never
    part of it.

    Args:
        problem: What happened and to which ad account or audience, without a full stop.
        status_code: The HTTP status, when there was an answer.
        reasons: LINE's names for what is wrong, as in `AUDIENCE_GROUP_NOT_FOUND (id)`.
        request_id: What LINE's support asks for.
        retry_after: Seconds for which the server asks to be left alone.
        may_have_taken_effect: The request may have done its work although it failed. Whoever repeats it
            first looks at LINE's audiences and upload jobs.
        remedy: What to do, instead of what the class says.
    """

    remedy: ClassVar[str] = "Look at what LINE says about it, and ask LINE's support with the request id."
    """What to do about it, as full sentences."""

    def __init__(  # noqa: PLR0913 - what is known of a failure, keyword-only
        self,
        problem: str,
        *,
        status_code: int | None = None,
        reasons: tuple[str, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        may_have_taken_effect: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.status_code = status_code
        self.reasons = reasons
        self.request_id = request_id
        self.retry_after = retry_after
        self.may_have_taken_effect = may_have_taken_effect
        self._own_remedy = remedy

    def __str__(self) -> str:
        details = [] if self.status_code is None else [f"HTTP {self.status_code}"]
        details += self.reasons
        if self.request_id:
            details.append(f"request id {self.request_id}")
        answer = f" ({', '.join(details)})" if details else ""
        return f"{self.args[0]}{answer}. {self._own_remedy or self.remedy}"


class InvalidBaseUrl(LineAdsError):
    """The root of the API is no URL, so nothing can be sent."""

    remedy = (
        "Set LINE_ADS_BASE_URL to a URL such as https://ads.line.me/api, or leave it unset for that very one."
    )


class MissingCredentials(LineAdsError):
    """There is no access key or no secret key, so nothing can be sent."""

    remedy = (
        "Set the environment variables LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY to the keys that LINE "
        "issued for its Ads API."
    )


class AuthenticationFailed(LineAdsError):
    """LINE does not accept the access key or the signature made with the secret key."""

    remedy = (
        "Check that LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY are one pair, complete and not revoked, and "
        "that LINE_ADS_BASE_URL is the API they were issued for."
    )


class ClockSkew(AuthenticationFailed):
    """The clock of this machine is too far from LINE's, so that no signature is accepted."""

    remedy = "Synchronise the clock of this machine (NTP): LINE accepts a difference of at most 15 minutes."


class PermissionDenied(LineAdsError):
    """The access key may not use this ad account; LINE does not say whether the account exists."""

    remedy = (
        "Check the ad_account_id, and have the owner of the ad account grant your API user access to it and "
        "to its custom audiences in LINE Ads Manager."
    )


class AdAccountNotFound(LineAdsError):
    """LINE knows no such ad account."""

    remedy = (
        "Check the ad_account_id: it is the `A` and 11 digits that LINE Ads Manager shows beside the name of "
        "the ad account. Check also that LINE_ADS_BASE_URL is the right API."
    )


class AudienceNotFound(LineAdsError):
    """The ad account holds no such audience, or no longer."""

    remedy = (
        "`line-ads audiences AD_ACCOUNT` lists what is there. If the audience was deleted in LINE, materialise "
        "line_custom_audience again: it says how to make a new one."
    )


class AudienceTypeMismatch(LineAdsError):
    """The audience holds identifiers of another type than those of the upload."""

    remedy = (
        "One audience holds one identifier type: change identifier.type to that of the audience, or choose "
        "another audience_name or audience_id."
    )


class RateLimited(LineAdsError):
    """LINE takes no more requests for now (HTTP 429); nothing was changed."""

    remedy = (
        "LINE takes 10 requests a second per access key, from all programs together: lower "
        "requests_per_second, or give other programs a key of their own."
    )
    replace_remedy: ClassVar[str] = (
        "LINE takes 3 REPLACE uploads at a time per ad account and 10 requests a second per access key, from "
        "all programs together: let fewer mirrors of this ad account run at the same time."
    )
    """What to do when the request was a `REPLACE`."""


class RejectedFile(LineAdsError):
    """LINE does not accept the uploaded file; nothing was changed."""

    remedy = (
        "LINE takes text with one identifier a line, all of the declared identifier type, at most 62,914,560 "
        "bytes and 1,500,000 lines: check identifier.type and lower max_records_per_upload."
    )


class RejectedRequest(LineAdsError):
    """LINE refuses the request for a reason without a class of its own; nothing was changed."""

    remedy = "Correct what LINE names as the reason; the same request would be refused again."
    remedies_by_reason: ClassVar[dict[str, str]] = {
        "AUDIENCE_GROUP_COUNT_MAX_OVER": (
            "The ad account holds as many audiences as it may: delete those no longer needed in LINE Ads Manager."
        ),
        "AUDIENCE_GROUP_NAME_DUPLICATE": (
            "Another audience of the ad account has this name: choose another audience_name, or give the "
            "audience_id of the one that is meant."
        ),
        "AUDIENCE_GROUP_NAME_EMPTY": "Give an audience_name of 1 to 120 characters.",
        "AUDIENCE_GROUP_NAME_SIZE_OVER": "Give an audience_name of 1 to 120 characters.",
        "AUDIENCE_GROUP_NAME_WRONG": (
            "LINE does not accept a character of the audience_name: use letters, digits, spaces and plain punctuation."
        ),
    }
    """What to do where the reason alone tells it."""


class ServerError(LineAdsError):
    """LINE failed to process the request (HTTP 5xx)."""

    remedy = "Run again later; if it lasts, ask LINE's support with the time and the request id."


class NetworkError(LineAdsError):
    """No connection to LINE, or it broke before the answer was complete."""

    remedy = "Check the network, the proxy and LINE_ADS_BASE_URL, then run again."


class UnexpectedResponse(LineAdsError):
    """An answer that is not the LINE Ads API's: not JSON, a redirect, or without a field it always has."""

    remedy = (
        "Check that LINE_ADS_BASE_URL is the root of the LINE Ads API and that no proxy answers in its place; "
        "if so, LINE has changed its API: look for a newer version of this package."
    )
