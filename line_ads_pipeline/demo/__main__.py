"""`make demo` and `make dev`."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from line_ads_pipeline.defs.resources import PROJECT_ROOT
from line_ads_pipeline.demo.customers import Customer, make_customers
from line_ads_pipeline.demo.report import gather, show
from line_ads_pipeline.demo.run import STEPS, command, materialise, newest_run_date
from line_ads_pipeline.demo.serve import serve
from line_ads_pipeline.demo.surroundings import (
    DemoError,
    DemoFolder,
    Project,
    demo_environment,
    refuse_env_file,
)
from line_ads_pipeline.demo.warehouse import write_warehouse
from line_ads_pipeline.line_ads import LineAdsError
from line_ads_pipeline.simulator import PortInUseError, Simulator
from line_ads_pipeline.store import Store, StoreError

_DOING = {
    "source_segment": "Looking at the table",
    "hashed_identifiers": "Normalising, validating, hashing",
    "line_custom_audience": "Uploading to LINE, waiting for it",
}


@click.command()
@click.option(
    "--rows", type=click.IntRange(min=1), default=100_000, show_default=True, help="Customers to make."
)
@click.option("--serve", "serving", is_flag=True, help="Run the Dagster UI with the simulator, until Ctrl-C.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8642,
    show_default=True,
    help="Of the simulator with --serve.",
)
@click.option(
    "--dagster-port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="Of the Dagster UI; the next free one is taken.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=PROJECT_ROOT / "data" / "demo",
    help="Where the demo keeps its files; data/demo by default.",
)
def main(*, rows: int, serving: bool, port: int, dagster_port: int, folder: Path) -> None:
    """Bring made-up customers to a simulated LINE, by a real Dagster run."""
    console = Console(highlight=False)
    place = DemoFolder(folder.resolve())
    try:
        if serving:
            serve(
                place,
                console=console,
                port=port,
                dagster_port=dagster_port,
                build=lambda: _build(place, rows, console),
            )
        else:
            sys.exit(0 if _demo(place, rows, console) else 1)
    except PortInUseError as error:
        raise click.ClickException(str(error.strerror)) from error
    except (DemoError, LineAdsError, StoreError) as error:
        raise click.ClickException(str(error)) from error


def _demo(place: DemoFolder, rows: int, console: Console) -> bool:
    """The demo from its start to its end; whether LINE holds whom it should."""
    refuse_env_file()
    with console.status("Reading the audience files"):
        project = Project.load()
        audience = project.demo_audience()
    with place.alone():
        customers = _build(place, rows, console)
        store = place.store(serving=False)
        shutil.rmtree(store, ignore_errors=True)
        with Simulator(job_seconds=1.0, ad_account_ids=project.ad_account_ids) as simulator:
            run_date = newest_run_date(audience)
            typed = command(audience, run_date)
            console.print(f"\n[dim]$[/] {shlex.join(typed)}", soft_wrap=True)
            with _progress(console) as progress:
                task = progress.add_task("Starting Dagster", total=len(STEPS))

                def on_step(step: str, event: str) -> None:
                    done = STEPS.index(step) + (event == "SUCCESS")
                    progress.update(task, completed=done, description=_DOING[step])

                materialise(
                    typed,
                    environment=demo_environment(simulator, place, serving=False),
                    log=place.log,
                    on_step=on_step,
                )
                progress.update(task, description="The run is done")
            report = gather(audience, run_date, store=Store(store), simulator=simulator, customers=customers)
    console.print()
    show(report, console)
    console.print(
        "\nNext: [bold]make dev[/] shows this run in the Dagster UI, its numbers plotted over time, and runs it again "
        f"at a click.\n[dim]The log of this run is in {place.log}, the customers are in {place.warehouse}.[/]",
        soft_wrap=True,
    )
    return report.exact


def _build(place: DemoFolder, rows: int, console: Console) -> Sequence[Customer]:
    customers = []
    with _progress(console) as progress:
        task = progress.add_task("Making up customers", total=rows)
        for customer in make_customers(rows):
            customers.append(customer)
            if customer.customer_id % 1000 == 0 or customer.customer_id == rows:
                progress.update(task, completed=customer.customer_id)
        progress.update(task, description="Filling the warehouse")
        write_warehouse(place.warehouse, customers)
        progress.update(task, description="The warehouse is ready")
    return customers


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    main()
