"""What the README says is what the package does: examples, fields, defaults, commands and the words of errors."""

import ast
import importlib
import json
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Literal, get_args, get_origin

import click
import dagster as dg
import httpx
import pytest
from dagster._cli import create_dagster_cli
from pydantic.fields import FieldInfo

import line_ads_pipeline
from line_ads_pipeline.cli import main as line_ads_command
from line_ads_pipeline.components.audience_file import (
    Audience,
    Block,
    DestinationBlock,
    ExcludeBlock,
    GuardrailsBlock,
    IdentifierBlock,
    RunFrequencyBlock,
    SourceBlock,
    UpdateBlock,
)
from line_ads_pipeline.components.backfill import NewerInBackfill
from line_ads_pipeline.components.checks import check_specs
from line_ads_pipeline.components.custom_audience import Override, SyncConfig
from line_ads_pipeline.components.errors import LateSnapshot
from line_ads_pipeline.components.project import COMPONENT_TYPE
from line_ads_pipeline.components.reading import read_audience
from line_ads_pipeline.components.yaml_document import YamlDocument
from line_ads_pipeline.definitions import defs
from line_ads_pipeline.defs.resources import resources
from line_ads_pipeline.identifiers import SKIP_REASONS
from line_ads_pipeline.line_ads import CustomAudience, LineAdsClient
from line_ads_pipeline.line_ads.errors import (
    LineAdsError,
    MissingCredentials,
    RateLimited,
    RejectedRequest,
    ServerError,
)
from line_ads_pipeline.line_ads.refusals import Subject, refusal
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource
from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync import Finding, Hold
from line_ads_pipeline.sync.destination import _RECREATE
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
from line_ads_pipeline.warehouse.errors import MissingColumn
from line_ads_pipeline.warehouse.names import find_column

ROOT = Path(__file__).parents[1]
PACKAGE = Path(line_ads_pipeline.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text below a heading, up to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", README, re.MULTILINE)
    assert found, f"the README has no section {title}"
    rest = README[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def blocks(language: str) -> list[str]:
    return [
        textwrap.dedent(found["indent"] + found["body"].removeprefix(found["indent"]))
        for found in _FENCE.finditer(README)
        if found["language"] == language
    ]


def plain(text: str) -> str:
    """One line without code marks."""
    return " ".join(text.replace("`", "").split())


def code(text: str) -> set[str]:
    return set(_CODE.findall(text))


@pytest.mark.parametrize("example", blocks("yaml"))
def test_every_yaml_example_is_an_audience_file(example, tmp_path):
    file = tmp_path / "defs.yaml"
    file.write_text(example, encoding="utf-8")
    [document] = YamlDocument.read_all(file, shown_as="the README")
    values = document.values()

    assert values["type"] == COMPONENT_TYPE
    assert read_audience(values["attributes"], document=document).name == values["attributes"]["name"]


def default_of(field: FieldInfo) -> str:
    """A default as the README writes it."""
    if field.is_required():
        return "needed"
    match field.get_default(call_default_factory=True):
        case None | []:
            text = "false" if UpdateBlock in get_args(field.annotation) else "none"
        case bool(value):
            text = str(value).lower()
        case time() as value:
            text = f"{value:%H:%M}"
        case timedelta() as value:
            minutes = int(value.total_seconds()) // 60
            hours, days = minutes // 60, value.days
            whole_days = days > 1 and value == timedelta(days=days)
            text = f"{minutes}m" if minutes % 60 else f"{days}d" if whole_days else f"{hours}h"
        case RunFrequencyBlock() as value:
            text = f"{value.every} at {value.time_of_day:%H:%M} {value.time_zone}"
        case GuardrailsBlock() as value if value == GuardrailsBlock():
            text = "its defaults"
        case value:
            text = str(value)
    return text


def choices_of(annotation: object) -> set[str]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {choice for part in get_args(annotation) for choice in choices_of(part)}


BLOCKS = {
    "attributes": Audience,
    "source": SourceBlock,
    "exclude": ExcludeBlock,
    "identifier": IdentifierBlock,
    "destination": DestinationBlock,
    "run_frequency": RunFrequencyBlock,
    "update_on_change": UpdateBlock,
    "guardrails": GuardrailsBlock,
}


@pytest.mark.parametrize(("name", "block"), BLOCKS.items(), ids=BLOCKS.keys())
def test_every_field_stands_in_the_table_of_its_block_with_its_default_and_choices(name, block):
    table = {
        plain(field): (plain(default), meaning) for field, default, meaning in rows(section(f"`{name}`"))
    }

    assert {field: default for field, (default, _) in table.items()} == {
        field: default_of(info) for field, info in block.model_fields.items()
    }
    for field, info in block.model_fields.items():
        assert choices_of(info.annotation) <= code(table[field][1]), field


def test_every_block_has_a_table():
    def leaves(block):
        return {leaf for kind in block.__subclasses__() for leaf in leaves(kind)} or {block}

    assert leaves(Block) == set(BLOCKS.values())


def test_the_columns_that_are_looked_for_are_named():
    [meaning] = [meaning for field, _, meaning in rows(section("`identifier`")) if field == "`column`"]
    usual = [IdentifierBlock(type=kind).columns for kind in ("email", "phone", "ifa")]

    assert _CODE.findall(meaning) == [column for columns in usual for column in columns]


def test_every_reason_to_skip_a_row_is_explained():
    assert [(plain(reason), why) for reason, why in rows(section("What happens to identifiers"))] == list(
        SKIP_REASONS.items()
    )


def environment_variables() -> set[str]:
    """Every name of a variable of ours in the code, and whatever else is read from the environment."""
    readers = {"EnvVar", "getenv", "get", "_from_environment", "_secret"}
    names = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(value=str(text)) if re.fullmatch(r"LINE_ADS_[A-Z_]+", text):
                    names.add(text)
                case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]):
                    called = getattr(function, "attr", getattr(function, "id", ""))
                    if called in readers and re.fullmatch(r"[A-Z][A-Z_]+", text):
                        names.add(text)
                case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(text))):
                    names.add(text)
    return {name for name in names if not name.startswith("DAGSTER_")}


def test_the_environment_variables_are_those_that_the_package_reads():
    table = [plain(name) for name, *_ in rows(section("Environment variables"))]

    assert len(table) == len(set(table))
    assert set(table) == environment_variables()


def test_the_defaults_of_the_environment_variables_are_the_projects(monkeypatch):
    for name in environment_variables():
        monkeypatch.delenv(name, raising=False)
    project = resources().resources
    table = {plain(name): plain(default) for name, _, default in rows(section("Environment variables"))}

    assert table["LINE_ADS_BASE_URL"] == project["line_ads"].base_url
    assert table["WAREHOUSE_URL"] == project["warehouse"].url
    assert project["snapshots"].location == table["LINE_ADS_STORE"]
    assert project["snapshots"].root == str(ROOT)
    assert table["LINE_ADS_ACCESS_KEY"].startswith("none")
    assert project["line_ads"].access_key is None


def test_the_settings_of_the_resources_stand_in_their_table_with_their_defaults():
    documented = {
        plain(setting): plain(default) for setting, default, _ in rows(section("In another Dagster project"))
    }
    classes = (LineAdsResource, WarehouseResource, SnapshotStoreResource)

    assert documented == {
        f"{each.__name__}.{field}": default_of(info)
        for each in classes
        for field, info in each.model_fields.items()
    }


def make_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.MULTILINE))


def commands() -> Iterator[list[str]]:
    """Every command of the README: the lines of its shell blocks, and code that begins like one."""
    for block in blocks("sh"):
        for line in block.splitlines():
            yield shlex.split(line, comments=True)
    for span in sorted(code(README)):
        words = shlex.split(span) if re.match(r"(make|line-ads|dagster) [^<]+$", span) else []
        if words:
            yield words


def parse(command: click.Command, words: list[str]) -> None:
    """Let click parse a command line, without running it."""
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, click.Group) and not (words and words[0].startswith("-")):
        raise click.UsageError(f"there is no such subcommand: {' '.join(words)}")
    try:
        command.make_context("", list(words))
    except click.exceptions.Exit:  # --version and --help
        return


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words)[:60])
def test_every_command_exists_and_takes_its_arguments(words):
    match words:
        case ["make", *arguments]:
            targets = [word for word in arguments if "=" not in word]
            assert targets
            assert set(targets) <= make_targets()
        case ["dagster", *arguments]:
            parse(create_dagster_cli(), arguments)
            if "-m" in arguments:
                assert importlib.util.find_spec(arguments[arguments.index("-m") + 1])
        case ["line-ads", *arguments]:
            parse(line_ads_command, arguments)
        case _:
            assert words == ["source", ".venv/bin/activate"]


def test_every_make_target_is_named():
    named = {word for words in commands() if words[0] == "make" for word in words[1:]}

    assert make_targets() - named == {"help"}


def test_every_line_ads_command_and_option_is_named():
    text = section("Command line")
    named = code(text)
    documented = {word for span in named for word in span.split()}
    for name, command in line_ads_command.commands.items():
        assert f"`line-ads {name}" in text
        options = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for option in parameter.opts
        }
        assert options <= documented, name


def test_every_asset_that_a_command_selects_exists():
    keys = set(re.findall(r"""key:"([\w/]+)\"""", README))
    known = {key.to_user_string() for key in defs().get_repository_def().assets_defs_by_key}

    assert keys
    assert keys <= known


def test_every_run_config_fits_the_job_of_the_example():
    configs = re.findall(r"--config-json '([^']+)'", README)

    assert configs
    for config in configs:
        assert dg.validate_run_config(defs().resolve_job_def("sync_vip_customers"), json.loads(config))


AD_ACCOUNT, AUDIENCE, NAME, WHY = "A00000000971", "9710000000971", "Sentinel", "SENTINEL_REASON"
_SAMPLE = re.compile(rf"{AD_ACCOUNT}|{AUDIENCE}|{NAME}|{WHY}|2971-01-0\d( 00:00)?|HASHED_EMAIL|\b97\d\b")


def sentences(message: str) -> list[str]:
    """What a message says whatever it is about: `<>` stands for sample values."""
    return re.split(r"(?<=[a-z)])\. |; ", _SAMPLE.sub("<>", plain(message)).rstrip("."))


def not_in_troubleshooting(message: str) -> list[str]:
    said = re.sub(r"<[^<>]*>", "<>", plain(section("Troubleshooting")))
    return [sentence for sentence in sentences(message) if sentence not in said]


def subclasses(error: type[Exception]) -> Iterator[type[Exception]]:
    for each in error.__subclasses__():
        yield each
        yield from subclasses(each)


REMEDIES = {
    **{error.__name__: error.remedy for error in (LineAdsError, *subclasses(LineAdsError))},
    **RejectedRequest.remedies_by_reason,
    "REPLACE": RateLimited.replace_remedy,
    "recorded audience that is gone": _RECREATE,
}


@pytest.mark.parametrize("remedy", REMEDIES.values(), ids=REMEDIES.keys())
def test_the_remedy_of_every_api_error_is_that_of_the_troubleshooting(remedy):
    assert plain(remedy) in plain(section("Troubleshooting"))


@pytest.mark.parametrize("reason", RejectedRequest.remedies_by_reason)
def test_the_reason_of_a_rejected_request_stands_beside_its_remedy(reason):
    remedies = [
        plain(remedy) for _, message, remedy in rows(section("Troubleshooting")) if reason in code(message)
    ]

    assert remedies == [RejectedRequest.remedies_by_reason[reason]]


def answer(status: int, reason: str = "", place: str = "", *, minutes: int = 0, **subject: str) -> str:
    """What an answer of LINE is called, without the remedy."""
    now = datetime(2026, 11, 2, 3, 4, tzinfo=UTC)
    response = httpx.Response(
        status,
        headers={"Date": format_datetime(now - timedelta(minutes=minutes), usegmt=True)},
        json={"errors": [{"reason": reason, "property": place}]} if reason else None,
    )
    return str(refusal(response, Subject(ad_account_id=AD_ACCOUNT, **subject), now=now).args[0])


ANSWERS = {
    "authentication": answer(401),
    "clock": answer(401, minutes=971),
    "ad account unknown": answer(400, "INVALID_ACCOUNT_ID"),
    "ad account of others": answer(403),
    "audience unknown": answer(400, "AUDIENCE_GROUP_NOT_FOUND", audience_id=AUDIENCE),
    "type": answer(400, "INVALID_VALUE", "idType", audience_id=AUDIENCE, id_type="HASHED_EMAIL"),
    "rate": answer(429),
    "replace": answer(429, action="REPLACE"),
    "file": answer(400, "EMPTY_FILE"),
    "rejected": answer(400, "REQUIRED"),
    "server": answer(503),
    "redirect": answer(302),
}


@pytest.mark.parametrize("problem", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_words_for_every_refusal_of_line_are_those_of_the_troubleshooting(problem):
    assert not_in_troubleshooting(problem) == []


def test_the_words_for_missing_keys_are_those_of_the_troubleshooting():
    with pytest.raises(MissingCredentials) as caught, LineAdsClient(access_key="", secret_key="x"):
        pass

    assert "no LINE Ads credentials: <variable> not set" in plain(section("Troubleshooting"))
    assert caught.value.args[0] == "no LINE Ads credentials: LINE_ADS_ACCESS_KEY not set"


def test_the_words_without_a_connection_are_those_of_the_troubleshooting():
    client = LineAdsClient(access_key="x", secret_key="x", base_url="http://127.0.0.1:1", retry_for=0)
    with client, pytest.raises(LineAdsError) as caught:
        list(client.list_audiences(AD_ACCOUNT))

    assert not_in_troubleshooting(caught.value.args[0].partition(": ")[0]) == []


LISTED = CustomAudience(
    id=AUDIENCE,
    name=NAME,
    function_type="UPLOAD",
    status="EXPIRED",
    failed_type=WHY,
    estimated_size_text="971",
    created=datetime(2971, 1, 1, tzinfo=UTC),
)
CHUNK = {"chunk": 971, "chunks": 972}
SYNC_ERRORS = [
    AudienceBusy(AUDIENCE, hours=971),
    AudienceContended(AUDIENCE, times=971),
    NameTaken(AUDIENCE, NAME, AUDIENCE),
    AudienceNotOurs(NAME, AUDIENCE),
    AudienceUnusable(LISTED, given_by_id=False),
    AudienceUnusable(LISTED, given_by_id=True),
    NoValidIdentifiers(rows=0),
    NoValidIdentifiers(rows=971, may_delete=True),
    NoValidIdentifiers(rows=971, held_back=971, may_delete=True),
    OlderThanConfirmed("2971-01-01", "2971-01-02", mode="mirror"),
    SeveralAudiences(NAME, [LISTED] * 971),
    UploadJobFailed(**CHUNK, audience_id=AUDIENCE, failed_type=WHY),
    UploadJobNotListed(**CHUNK, audience_id=AUDIENCE),
    GuardrailsStopped([Finding(check=NAME, verdict="stopped", message=f"{WHY}.")]),
    OptOutsNotComparable(partition="2971-01-01"),
    OnHold(
        Hold(
            partition="2971-01-02",
            snapshot=Snapshot(digest="0" * 64, record_width=32, count=0),
            since=datetime(2971, 1, 1, tzinfo=UTC),
        )
    ),
    NewerInBackfill("2971-01-01", "2971-01-02"),
    RollbackOfAdd(),
    Overtaken(),
    UploadJobUnfinished(**CHUNK, audience_id=AUDIENCE, hours=973),
    UploadUnsettled(
        **CHUNK, attempts=974, last=ServerError("LINE failed to process a request for ad account A971")
    ),
    LateSnapshot("2971-01-01", "2971-01-02"),
]


@pytest.mark.parametrize("error", SYNC_ERRORS, ids=lambda error: type(error).__name__)
def test_the_words_of_every_failed_sync_are_those_of_the_troubleshooting(error):
    own_words = str(error).partition(" The last failure: ")[0]

    assert not_in_troubleshooting(own_words) == []


def test_no_failed_sync_is_left_out():
    assert {type(error) for error in SYNC_ERRORS} >= set(subclasses(SyncError)) - {PassedOver}


def test_the_words_for_a_missing_column_are_those_of_the_troubleshooting():
    with pytest.raises(MissingColumn) as caught:
        find_column([NAME], ["sentinel_id"], source="table sentinels")
    there, remedy = str(caught.value).partition(". ")[2].split("sentinel_id. ")

    assert there in section("Troubleshooting")
    assert not_in_troubleshooting(remedy) == []


@dataclass(frozen=True)
class File:
    """A file of the example project, as the README shows it under its path."""

    path: str
    content: str


def project_files() -> list[File]:
    found = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [File(path, content) for path, content in found]


def test_the_example_of_another_project_loads_its_audiences(tmp_path, monkeypatch):
    for file in project_files():
        place = tmp_path / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.content, encoding="utf-8")
    names = []
    for number, example in enumerate(blocks("yaml")):
        place = tmp_path / "crm_audiences" / "defs" / f"audience_{number}" / "defs.yaml"
        place.parent.mkdir()
        place.write_text(example, encoding="utf-8")
        names += re.findall(r"^  name: (\w+)", example, re.MULTILINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("crm_audiences.definitions")
    try:
        definitions = module.defs()
        jobs = {job.name for job in definitions.resolve_all_job_defs()}
        used = set(definitions.resources)
    finally:
        for loaded in [name for name in sys.modules if name.partition(".")[0] == "crm_audiences"]:
            del sys.modules[loaded]

    assert {f"sync_{name}" for name in names} <= jobs
    assert used == {"line_ads", "warehouse", "snapshots"}


def test_every_path_that_is_named_exists():
    [layout] = [block for block in blocks("text") if block.startswith("line_ads_pipeline/")]
    within = re.findall(r"^  ([\w./]+)  ", layout, re.MULTILINE)
    spans = {span for span in code(README) if re.fullmatch(r"(\.ci|line_ads_pipeline\w*)/[\w./]+", span)}

    assert len(within) > len(layout.splitlines()) - 5
    assert [path for path in within if not (PACKAGE / path).exists()] == []
    assert [path for path in {*spans, "LICENSE", "dagster.yaml"} if not (ROOT / path).exists()] == []


def test_every_module_of_the_package_is_in_the_layout():
    [layout] = [block for block in blocks("text") if block.startswith("line_ads_pipeline/")]
    there = {path.name for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}

    assert {name for name in there if name not in layout} - {"__pycache__"} == {
        "__init__.py",
        "definitions.py",
    }


def test_every_link_within_the_readme_has_a_heading():
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", README))

    assert links
    assert links <= headings


def test_the_run_config_of_line_custom_audience_stands_in_its_table_with_its_defaults():
    documented = {
        code(field).pop(): code(default).pop()
        for field, default, _ in rows(section("Run config of `line_custom_audience`"))
    }
    fields = SyncConfig.model_fields
    assert documented == {
        name: json.dumps(field.get_default(call_default_factory=True)) for name, field in fields.items()
    }


def test_every_check_is_named_and_every_override_too():
    text = section("Guardrails")
    audience = Audience.model_validate(
        {
            "name": "vip",
            "source": {"table": "customers"},
            "identifier": {"type": "email"},
            "destination": {"ad_account_id": "A1", "audience_name": "VIP"},
        }
    )
    checks = {spec.name for spec in check_specs(audience, dg.AssetKey("vip"))}

    assert checks <= code(text)
    assert {override.value for override in Override} <= code(section("Run config of `line_custom_audience`"))
