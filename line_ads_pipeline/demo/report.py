"""What the demo shows at its end, and whether LINE holds exactly whom it should."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.demo.customers import Customer
from line_ads_pipeline.demo.surroundings import TABLE, DemoError
from line_ads_pipeline.identifiers import SKIP_REASONS
from line_ads_pipeline.line_ads import CustomAudience, LineAdsClient
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator
from line_ads_pipeline.store import Snapshot, Store, Tally
from line_ads_pipeline.sync import AudienceRecords


@dataclass(frozen=True)
class Report:
    """A finished run, from three sides.

    Attributes:
        tally: What the pipeline counted.
        snapshot: What it kept.
        audience: As the API gives it back.
        chunks: The rows of each file that LINE was sent.
        members: Whom the simulated LINE holds.
        expected: The hashes of the made-up customers, by `hashlib` alone.
        broken_rules: How often the API's rules were broken.
    """

    tally: Tally
    snapshot: Snapshot
    audience: CustomAudience
    chunks: Sequence[int]
    members: frozenset[str]
    expected: frozenset[str]
    broken_rules: int

    @property
    def exact(self) -> bool:
        """LINE holds exactly whom it should."""
        return self.members == self.expected


def gather(
    audience: Audience, run_date: str, *, store: Store, simulator: Simulator, customers: Sequence[Customer]
) -> Report:
    """Collect what a run left behind.

    Raises:
        DemoError: The run succeeded, but LINE lists no such audience.
        LineAdsError: The API does not answer.
        StoreError: The store cannot be read.
    """
    kept = AudienceRecords(store, audience.name).read("partitions", run_date) or {}
    with LineAdsClient(
        access_key=DEMO_ACCESS_KEY, secret_key=DEMO_SECRET_KEY, base_url=simulator.base_url
    ) as client:
        listed = client.list_audiences(
            audience.destination.ad_account_id, name=audience.destination.audience_name
        )
        found = next((each for each in listed if each.name == audience.destination.audience_name), None)
    if found is None:
        raise DemoError(f"LINE lists no audience {audience.destination.audience_name} after the run")
    return Report(
        tally=Tally(**kept["tally"]),
        snapshot=Snapshot.from_document(kept["snapshot"]),
        audience=found,
        chunks=[request.row_count or 0 for request in simulator.requests if request.job_id is not None],
        members=simulator.members(found.id),
        expected=frozenset(customer.identifier for customer in customers if customer.identifier is not None),
        broken_rules=len(simulator.broken_rules),
    )


def show(report: Report, console: Console) -> None:
    """Print the funnel, the audience and the comparison."""
    console.print(Panel(_funnel(report), title="From rows to members", expand=False))
    console.print(
        Panel(_audience(report.audience), title="The audience, read back through the API", expand=False)
    )
    console.print(_verdict(report), soft_wrap=True)


def _funnel(report: Report) -> Table:
    tally = report.tally
    lines = Table.grid(padding=(0, 2))
    lines.add_column()
    lines.add_column(justify="right")

    def add(sign: str, words: str, number: str, style: str = "") -> None:
        lines.add_row(Text(f"{sign} {words}", style), Text(number, style))

    add(" ", f"rows in {TABLE}", f"{tally.rows:,}", "bold")
    for reason, sentence in SKIP_REASONS.items():
        count = tally.outcomes.get(reason, 0)
        if count:
            add("-", sentence, f"{count:,}", "yellow")
    add("=", "rows with an e-mail address, or the hash of one", f"{tally.rows - tally.skipped:,}", "bold")
    add(" ", "  of them hashed already", f"{tally.outcomes.get('already_hashed', 0):,}", "dim")
    add("-", "the same person again, in some other spelling", f"{tally.duplicates:,}", "yellow")
    add("=", "identifiers", f"{report.snapshot.count:,}", "bold")
    sent = sum(report.chunks)
    files = "one file" if len(report.chunks) == 1 else f"{len(report.chunks)} files"
    add(">", f"sent to LINE in {files} of {sent * report.snapshot.line_bytes:,} bytes", f"{sent:,}")
    add(
        ">",
        "members that LINE holds",
        f"{len(report.members):,}",
        "bold green" if report.exact else "bold red",
    )
    return lines


def _audience(audience: CustomAudience) -> Group:
    table = Table.grid(padding=(0, 2))
    size = audience.estimated_size_text or "unknown"
    for label, value in (
        ("Name", audience.name),
        ("Id", audience.id),
        ("Type", audience.function_type),
        ("Status", audience.status),
        ("Estimated size", size if audience.estimated_size is None else f"{audience.estimated_size:,}"),
    ):
        table.add_row(Text(label, "dim"), Text(value))
    return Group(table)


def _verdict(report: Report) -> Text:
    if not report.exact:
        missing, unexpected = len(report.expected - report.members), len(report.members - report.expected)
        return Text(
            f"✗ LINE does not hold whom it should: of the {len(report.expected):,} hashes made by hashlib alone "
            f"{missing:,} are missing, and {unexpected:,} members are not among them.",
            "bold red",
        )
    rules = (
        "no rule of the API was broken" if not report.broken_rules else f"{report.broken_rules} rules broken"
    )
    return Text(
        f"✓ Its {len(report.members):,} members are exactly the hashes that hashlib alone makes of these customers; {rules}.",
        "bold green",
    )
