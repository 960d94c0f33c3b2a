"""The command `line-ads`.

Exit codes: 0 when all is fine, 1 when something failed, 2 when the command was typed wrongly.
"""

# ruff: noqa: PLC0415 - heavy packages are imported by the commands that need them, so that --help is quick

import dataclasses
import importlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from line_ads_pipeline.check import Finding
    from line_ads_pipeline.line_ads import CustomAudience
    from line_ads_pipeline.simulator import Simulator

_MARKS = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "not tried": "[dim]·[/]"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="line-ads-pipeline")
def main() -> None:
    """Keep LINE Ads custom audiences in step with segments in a warehouse.

    Credentials come from LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY; a file .env in this folder is read as
    Dagster reads it.
    """
    from dotenv import load_dotenv

    # as dagster's own commands do, or a check would speak of other credentials than the run that follows
    load_dotenv(Path.cwd() / ".env", override=True)


@main.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8642, show_default=True, help="0 for any free one."
)
@click.option(
    "--ad-account",
    "ad_accounts",
    metavar="ID",
    multiple=True,
    default=("A10000000001", "A10000000002"),
    show_default=True,
    help="An ad account that the keys may use; may be given several times.",
)
@click.option(
    "--job-seconds",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="How long it works on an upload.",
)
@click.option("--accept-hashed-ifa", is_flag=True, help="Take hashes for mobile ad ids, against LINE's rule.")
def simulator(
    *, port: int, ad_accounts: tuple[str, ...], job_seconds: float, accept_hashed_ifa: bool
) -> None:
    """Run a LINE Ads API on this machine, until Ctrl-C.

    It listens on 127.0.0.1 only and takes the keys of LINE_ADS_ACCESS_KEY and LINE_ADS_SECRET_KEY, or demo keys.
    """
    from line_ads_pipeline.simulator import (
        DEMO_ACCESS_KEY,
        DEMO_SECRET_KEY,
        PortInUseError,
        Simulator,
        run_simulator,
    )

    demo_keys = {"LINE_ADS_ACCESS_KEY": DEMO_ACCESS_KEY, "LINE_ADS_SECRET_KEY": DEMO_SECRET_KEY}
    own_keys = {name: key for name in demo_keys if (key := os.environ.get(name, "").strip())}
    keys = demo_keys | own_keys
    to_export = {name: key for name, key in demo_keys.items() if name not in own_keys}
    simulated = Simulator(
        port=port,
        access_key=keys["LINE_ADS_ACCESS_KEY"],
        secret_key=keys["LINE_ADS_SECRET_KEY"],
        ad_account_ids=ad_accounts,
        job_seconds=job_seconds,
        accept_hashed_ifa=accept_hashed_ifa,
    )
    try:
        run_simulator(simulated, on_ready=lambda running: _announce(running, ad_accounts, to_export))
    except PortInUseError as error:
        raise click.ClickException(str(error.strerror)) from error
    click.echo("Stopped.")


def _announce(simulated: "Simulator", ad_accounts: Sequence[str], demo_keys: dict[str, str]) -> None:
    own = [name for name in ("LINE_ADS_ACCESS_KEY", "LINE_ADS_SECRET_KEY") if name not in demo_keys]
    which = [f"keys of {' and '.join(own)}"] if own else []
    which += ["demo keys"] if len(own) == 0 else [f"demo key for {name}" for name in demo_keys]
    click.echo(f"A simulated LINE Ads API, until Ctrl-C\n\n  Page      {simulated.url}")
    click.echo(f"  API       {simulated.base_url}\n  Accounts  {', '.join(ad_accounts)}")
    click.echo(f"  Keys      {', '.join(which)}\n\nTo use it:\n")
    for name, value in ({"LINE_ADS_BASE_URL": simulated.base_url} | demo_keys).items():
        click.echo(f"  export {name}={shlex.quote(value)}")


@main.command()
@click.option(
    "-m",
    "--module-name",
    default="line_ads_pipeline.definitions",
    show_default=True,
    help="The module with the project's definitions, named defs; also one in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def check(*, module_name: str, as_json: bool) -> None:
    """Check credentials, clock and every audience's two ends, changing nothing.

    The warehouse is asked for counts only, LINE for its lists of audiences and of their jobs.
    """
    from line_ads_pipeline.check import Finding, check_project
    from line_ads_pipeline.components import AudienceFileError

    console = _console()
    findings: list[Finding] = []
    with console.status("Looking …") if console.is_terminal and not as_json else nullcontext():
        try:
            findings += check_project(_definitions(module_name))
        except AudienceFileError as error:
            findings.append(
                Finding(
                    subject=error.path,
                    topic="audience file",
                    outcome="failed",
                    found="has a mistake",
                    remedy=str(error),
                )
            )
    failed = any(finding.outcome == "failed" for finding in findings)
    if as_json:
        click.echo(_json({"ok": not failed, "checks": [dataclasses.asdict(finding) for finding in findings]}))
    elif findings:
        _show_findings(console, findings)
    else:
        click.echo(
            "There is no audience yet: write one in line_ads_pipeline/defs/audiences/<name>/defs.yaml."
        )
    raise SystemExit(int(failed))


def _definitions(module_name: str) -> "dg.Definitions":
    import dagster as dg

    sys.path.insert(0, str(Path.cwd()))  # as Dagster's own commands find a project that is not installed
    try:
        found = getattr(importlib.import_module(module_name), "defs", None)
    except ModuleNotFoundError as error:
        raise click.BadParameter(str(error), param_hint="--module-name") from error
    if callable(found):
        found = found()
    if not isinstance(found, dg.Definitions):
        raise click.BadParameter(
            f"{module_name} has no Dagster definitions named defs", param_hint="--module-name"
        )
    return found


def _show_findings(console: "Console", findings: Sequence["Finding"]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "Audience", "Checked", "Found")
    for previous, finding in zip([None, *findings], findings, strict=False):
        if previous is not None and previous.subject != finding.subject:
            table.add_section()
        subject = "" if previous is not None and previous.subject == finding.subject else finding.subject
        table.add_row(_MARKS[finding.outcome], Text(subject), finding.topic, Text(finding.found))
    console.print(table)
    for finding in findings:
        if finding.remedy is not None:
            text = Text.assemble((f"{finding.subject}, {finding.topic}: ", "bold"), finding.remedy)
            console.print(text, soft_wrap=True)


@main.command()
@click.argument("ad_account")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def audiences(*, ad_account: str, as_json: bool) -> None:
    """List the custom audiences that LINE holds in AD_ACCOUNT, the newest first."""
    from line_ads_pipeline.check import PATIENCE
    from line_ads_pipeline.coordination import CoordinationError
    from line_ads_pipeline.defs.resources import resources
    from line_ads_pipeline.line_ads import LineAdsError

    line_ads = (resources().resources or {})["line_ads"].process_config_and_initialize()
    try:
        with line_ads.model_copy(update={"retry_seconds": PATIENCE}).client() as client:
            held: list[CustomAudience] = list(client.list_audiences(ad_account))
    except (LineAdsError, CoordinationError) as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="AD_ACCOUNT") from error
    if as_json:
        click.echo(
            _json({"ad_account_id": ad_account, "audiences": [dataclasses.asdict(each) for each in held]})
        )
    elif held:
        _show_audiences(_console(), held)
    else:
        click.echo(f"The ad account {ad_account} holds no custom audience.")


def _show_audiences(console: "Console", held: Sequence["CustomAudience"]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("Id", no_wrap=True)
    table.add_column("Name", overflow="fold")
    for heading in ("Type", "Status"):
        table.add_column(heading, overflow="fold")
    table.add_column("Size", justify="right")
    table.add_column("Created (UTC)")
    for audience in held:
        status = f"{audience.status} ({audience.failed_type})" if audience.failed_type else audience.status
        created = f"{audience.created.astimezone(UTC):%Y-%m-%d %H:%M}" if audience.created else "unknown"
        size = "" if audience.estimated_size_text is None else audience.estimated_size_text
        if audience.estimated_size is not None:
            size = f"{audience.estimated_size:,}"
        table.add_row(audience.id, Text(audience.name), audience.function_type, status, size, created)
    console.print(table)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=datetime.isoformat)
