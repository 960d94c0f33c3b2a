"""The benchmark: `python -m benchmarks [SECTION …]` from the project's folder, all sections if none is named."""

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    emails,
    ifas,
    loading,
    phones,
    scaling,
    sensors,
    sources,
    stages,
    start,
    transfer,
    uploads,
)
from benchmarks.harness import machine

SECTIONS = {
    "emails": emails,
    "stages": stages,
    "phones": phones,
    "ifas": ifas,
    "scaling": scaling,
    "sources": sources,
    "transfer": transfer,
    "uploads": uploads,
    "loading": loading,
    "sensors": sensors,
    "start": start,
}
RESULTS = Path(__file__).parent / "RESULTS.md"

HEAD = """\
# Results

Written by `make bench`: medians, each contender in a fresh process of its own, one after the other in turns. CPU time
is that of all threads, in user and system mode; peak memory is that of the whole process.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run sections, print what they tell, and put it in their place in RESULTS.md.

    Args:
        arguments: Of the command line; this process's own if None.
    """
    options = _parser().parse_args(arguments)
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        _parser().error(f"there is no section {unknown[0]}: it is one of {', '.join(SECTIONS)}")
    with tempfile.TemporaryDirectory(prefix="line-ads-benchmarks-") as folder:
        options.folder = Path(folder)
        for name in options.sections or SECTIONS:
            section = SECTIONS[name]
            print(section.TITLE, flush=True)
            told = section.run(options)
            print(f"\n{told}\n", flush=True)
            _keep(options.results, section.TITLE, f"{machine()}\n\n{told}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Benchmarks of line-ads-pipeline. Data is made up in a temporary folder (in TMPDIR, if set) and "
        "removed at the end; 100 million rows take about 20 GB there.",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)} (all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs (%(default)s)")
    parser.add_argument(
        "--rows",
        type=int,
        default=10_000_000,
        help="how many e-mail addresses, phone numbers and mobile ad ids (%(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=int,
        default=10_000_000,
        help="rows of the largest size in the scaling section (%(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        help="where to write, the plot beside it (benchmarks/RESULTS.md)",
    )
    parser.add_argument("--audiences", type=int, default=500, help="how many audience files (%(default)s)")
    return parser


def _keep(results: Path, title: str, told: str) -> None:
    """Put a section in its place; those that did not run stay, each with the machine it ran on."""
    before = results.read_text(encoding="utf-8") if results.exists() else ""
    kept = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)*)", before, re.MULTILINE))
    kept[title] = f"{told}\n\n"
    titles = [section.TITLE for section in SECTIONS.values()]
    text = "\n".join(f"## {title}\n\n{kept[title].rstrip()}\n" for title in titles if title in kept)
    results.write_text(f"{HEAD}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
