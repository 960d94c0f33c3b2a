"""Dagster resources: the configuration of the warehouse, the snapshot store and the LINE Ads API."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field, JsonValue

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import Patience
from line_ads_pipeline.warehouse import Warehouse

SECRET: dict[str, JsonValue] = {"dagster__is_secret": True}


_SHARE_OF_WAITING = 0.3
"""Of the request rate, for those who wait for LINE: 2.4 a second of 8, however many they are."""


@dataclass(frozen=True, kw_only=True)
class LineAdsConnection:
    """What a sync needs of an open LineAdsResource.

    Attributes:
        client: Paced with all other processes.
        coordination: Shared with them.
        replaces_at_once: How many `REPLACE`s LINE takes per ad account.
        patience: How long syncs wait for LINE.
    """

    client: LineAdsClient
    coordination: Coordination
    replaces_at_once: int
    patience: Patience


class LineAdsResource(dg.ConfigurableResource[LineAdsClient]):
    """Credentials and manners for the LINE Ads API.

        LineAdsResource(access_key=dg.EnvVar("LINE_ADS_ACCESS_KEY"), secret_key=dg.EnvVar("LINE_ADS_SECRET_KEY"))

    Absent keys are an error when a request is about to be made, so that a project loads without them. Give keys as
    `dg.EnvVar` only: Dagster keeps every other value in plain text with each job and run.
    """

    access_key: str | None = Field(
        default=None, description="Issued by LINE.", repr=False, json_schema_extra=SECRET
    )
    secret_key: str | None = Field(
        default=None, description="Issued by LINE with the access key.", repr=False, json_schema_extra=SECRET
    )
    base_url: str = Field(
        default="https://ads.line.me/api",
        description="API root; its path is part of what is signed.",
        repr=False,  # that of a gateway may hold a password
    )
    requests_per_second: float = Field(
        default=8.0,
        gt=0,
        description="Evenly paced, over all processes. LINE refuses more than 10 in any second.",
    )
    replaces_at_once: int = Field(
        default=3, ge=1, description="Mirrors that one ad account takes in at a time; LINE refuses a fourth."
    )
    retry_seconds: float = Field(
        default=300.0, ge=0, description="How long a request is retried after 429, 5xx and network errors."
    )
    first_poll_seconds: float = Field(
        default=1.0, gt=0, description="Before the second look at an upload job."
    )
    slowest_poll_seconds: float = Field(
        default=300.0, gt=0, description="The longest time between two looks at a job."
    )
    settle_seconds: float = Field(
        default=60.0,
        ge=0,
        description="How long an upload whose answer was lost may take to show in LINE's job list.",
    )
    job_deadline_hours: float = Field(default=24.0, gt=0, description="How long LINE may process one upload.")
    job_attempts: int = Field(
        default=3, ge=1, description="How often one run sends an upload that LINE fails to process."
    )
    coordination_url: str = Field(
        default="sqlite:///data/coordination.sqlite",
        description="The database of leases and of the shared request rate: `sqlite:///…` for one machine, "
        "`postgresql://…` for several.",
        repr=False,
        json_schema_extra=SECRET,  # URLs of servers hold passwords
    )
    root: str = Field(default=".", description="The folder that a relative database file starts from.")

    @contextmanager
    def connect(self) -> Iterator[LineAdsConnection]:
        """An open client, with the coordination that it shares with all other processes.

        Raises:
            MissingCredentials: A key is absent.
            CoordinationError: The URL is of no kind that is supported.
        """
        with Coordination(self.coordination_url, root=Path(self.root)) as coordination:
            key = self.access_key or ""
            with LineAdsClient(
                access_key=key,
                secret_key=self.secret_key or "",
                base_url=self.base_url,
                retry_for=self.retry_seconds,
                pace=coordination.pace(f"requests {key}", per_second=self.requests_per_second),
                waiting_pace=coordination.pace(
                    f"waiting {key}", per_second=self.requests_per_second * _SHARE_OF_WAITING
                ),
            ) as client:
                yield LineAdsConnection(
                    client=client,
                    coordination=coordination,
                    replaces_at_once=self.replaces_at_once,
                    patience=self.patience(),
                )

    @contextmanager
    def client(self) -> Iterator[LineAdsClient]:
        """An open client.

        Raises:
            MissingCredentials: A key is absent.
            CoordinationError: The URL is of no kind that is supported.
        """
        with self.connect() as connection:
            yield connection.client

    def patience(self) -> Patience:
        """How long syncs wait for LINE."""
        return Patience(
            first_poll=self.first_poll_seconds,
            slowest_poll=self.slowest_poll_seconds,
            settle=self.settle_seconds,
            job_deadline=self.job_deadline_hours * 3600,
            job_attempts=self.job_attempts,
        )


class WarehouseResource(dg.ConfigurableResource[Warehouse]):
    """A warehouse that segments are read from.

        WarehouseResource(url="duckdb:///data/warehouse.duckdb")

    Give a URL that holds a password as `dg.EnvVar("WAREHOUSE_URL")`: Dagster keeps every other value in plain text
    with each job and run.
    """

    url: str = Field(
        description="`duckdb:///relative.duckdb` (four slashes: absolute), `md:database`, `sqlite:///relative.db`, "
        "`postgresql://user:password@host/database`, `bigquery://project/dataset`, or "
        "`snowflake://user:password@account/database/schema?warehouse=…&role=…`.",
        repr=False,
        json_schema_extra=SECRET,  # URLs of servers hold passwords
    )
    root: str = Field(default=".", description="The folder that relative paths start from.")
    memory_limit: str = Field(default="1GB", description="For DuckDB, which never spills to disk here.")

    @contextmanager
    def open(self) -> Iterator[Warehouse]:
        """The open warehouse.

        Raises:
            WarehouseError: The URL is of no kind that is supported.
        """
        with Warehouse(self.url, root=Path(self.root), memory_limit=self.memory_limit) as warehouse:
            yield warehouse


class SnapshotStoreResource(dg.ConfigurableResource[Store]):
    """Where snapshots of hashed identifiers and the manifests of syncs are kept.

        SnapshotStoreResource(location="data/store")

    Give a URL that holds keys as `dg.EnvVar("LINE_ADS_STORE")`: Dagster keeps every other value in plain text with
    each job and run.
    """

    location: str = Field(
        description="A folder, or the URL of an object store.",
        repr=False,
        json_schema_extra=SECRET,  # URLs of object stores may hold keys
    )
    root: str = Field(default=".", description="The folder that a relative folder starts from.")

    def open(self) -> Store:
        """The store.

        Raises:
            StoreError: The location is of no known kind.
        """
        return Store(self.location if "://" in self.location else Path(self.root) / self.location)
