"""The audience in LINE that a sync goes to, with what LINE lists of it."""

from dataclasses import dataclass

from line_ads_pipeline.line_ads import CustomAudience, UploadJob


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a sync goes, as it was looked up.

    Attributes:
        audience: None if the first upload is to make it.
        same_name: The ids that had its name then.
    """

    audience: CustomAudience | None
    same_name: tuple[str, ...]

    @property
    def audience_id(self) -> str | None:
        """None if the first upload is to make the audience."""
        return self.audience.id if self.audience else None

    def idle(self, jobs: tuple[UploadJob, ...]) -> "IdleTarget":
        """The same with its jobs, none of which is running."""
        return IdleTarget(audience=self.audience, same_name=self.same_name, jobs=jobs)


@dataclass(frozen=True, kw_only=True)
class IdleTarget(Target):
    """Where a sync may begin: LINE is at work on nothing there.

    Attributes:
        jobs: All of the audience's that LINE lists, none of them running.
    """

    jobs: tuple[UploadJob, ...]
