"""The fields of an audience file.

The file's scalars arrive as text (see `yaml_document`) and become numbers and truth values only where a field
asks for one, so that ids, names and times of day mean what was typed: `5343822743474`, `"2026"`, `9:30`.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, time, timedelta
from difflib import get_close_matches
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import dagster as dg
from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from line_ads_pipeline.components.errors import shown
from line_ads_pipeline.components.freshness import longest_late_after
from line_ads_pipeline.identifiers import EmailRules, IfaRules, PhoneRules, Rules
from line_ads_pipeline.line_ads import NAME_LIMIT, IdType
from line_ads_pipeline.resources import LineAdsConnection
from line_ads_pipeline.sync import (
    AudienceRecords,
    Destination,
    Guardrails,
    Synchroniser,
    SyncMode,
    WhenEmpty,
)
from line_ads_pipeline.warehouse import FileSource, QuerySource, Source, TableSource

Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]

MOST_ROWS_PER_UPLOAD = 1_500_000
LAST_DAY_EVERY_MONTH_HAS = 28
START_YEARS = range(2000, 2101)
"""A year beyond is a slip, and date arithmetic in time zones fails near the ends of the calendar."""

ID_TYPES: Mapping[str, IdType] = {"email": "HASHED_EMAIL", "phone": "HASHED_PHONE_NUMBER", "ifa": "IFA"}


def mistake(problem: str, remedy: str = "", *, field: str = "") -> PydanticCustomError:
    """A validation error that says what to write instead: the field's own example where `remedy` is empty.

    `field` is relative to the block that raises it.
    """
    # pydantic fills braces in its message template: what users wrote goes in as a value, never as template
    return PydanticCustomError("mistake", "{problem}", {"problem": problem, "remedy": remedy, "field": field})


def _number_as_text(value: object) -> object:
    """Ids given as numbers from Python are the text of that number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_blank(character: str) -> bool:
    return not character.isprintable() or character.isspace() or character in _LETTERS_WITHOUT_INK


_LETTERS_WITHOUT_INK = "\u115f\u1160\u2800\u3164\uffa0"
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of what ends or breaks a line, or is no character at all."""


def _not_blank(value: str) -> str:
    if all(_is_blank(character) for character in value):
        raise mistake("is blank")
    return value


def _form(pattern: str, meaning: str) -> AfterValidator:
    def fits(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise mistake(f'"{shown(value)}" is not {meaning}')
        return value

    return AfterValidator(fits)


def _short_enough(name: str) -> str:
    if len(name) > NAME_LIMIT:
        raise mistake(f"has {len(name)} characters, LINE takes {NAME_LIMIT}")
    return name


def _as_it_looks(name: str) -> str:
    if any(unicodedata.category(character) in _CONTROLS for character in name):
        raise mistake("holds a line break or another control character", "audience_name: on one line")
    if name != name.strip().strip("\u200b\ufeff"):
        raise mistake(
            "begins or ends with a blank, which nobody sees in LINE",
            f"audience_name: {shown(name.strip().strip(chr(0x200B) + chr(0xFEFF)))}",
        )
    return name


Text = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_not_blank)]
OpaqueId = Annotated[Text, _form(r"[A-Za-z0-9_-]+", "an id of letters, digits, - and _")]
ResourceKey = Annotated[Text, _form(r"[A-Za-z_][A-Za-z0-9_]*", "a resource key of letters, digits and _")]
AudienceName = Annotated[Text, AfterValidator(_short_enough), AfterValidator(_as_it_looks)]
AudienceKey = Annotated[
    Text, _form(r"[a-z][a-z0-9_]{0,59}", "lower-case letters, digits and _ (60 at most), a letter first")
]
UpstreamKey = Annotated[
    Text,
    _form(
        r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", "an asset key such as marts/vip_customers, parts joined by /"
    ),
]
Owner = Annotated[
    Text,
    # what Dagster takes
    _form(
        r"team:\S+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}",
        "a team: with its name, nor an e-mail address",
    ),
]


def _found(value: object) -> str:
    kinds = {list: "a list", dict: "a block of fields", type(None): "empty"}
    return kinds.get(type(value), f'"{shown(value)}"')


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_DURATION = timedelta(days=366)


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,7}) ?([smhd])", str(value))
    length = timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else timedelta()
    if not length:
        raise mistake(f"is {_found(value)}, not one number and unit, such as 90s, 10m, 6h or 30d")
    if length > LONGEST_DURATION:
        raise mistake(f'"{shown(value)}" is more than {LONGEST_DURATION.days}d')
    return length


Duration = Annotated[timedelta, BeforeValidator(_duration)]


def _share(value: object) -> object:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?(?:e-?[0-9]+)?) ?(%?)", str(value))
    share = float(match[1]) / (100 if match[2] else 1) if match else None
    if share is None or share > 1:
        raise mistake(f"is {_found(value)}, not a share from 0 to 1 or a percentage such as 50%")
    return share


Share = Annotated[float, BeforeValidator(_share, json_schema_input_type=float | str)]


class Block(dg.Model):
    """A block of the audience file."""


class PlaceBlock(Block):
    """Where rows are read: exactly one of `table`, `query` and `path`."""

    table: Text | None = Field(default=None, description="Table or view", examples=["marts.vip_customers"])
    query: Text | None = Field(
        default=None,
        description="One SELECT; `:run_date` in it is the run date",
        examples=["SELECT email FROM customers"],
    )
    path: Text | None = Field(
        default=None,
        description="Parquet, CSV or NDJSON files, on disk or in an object store",
        examples=["data/customers.parquet"],
    )

    @model_validator(mode="after")
    def _exactly_one_place(self) -> Self:
        given = [field for field in ("table", "query", "path") if getattr(self, field) is not None]
        if len(given) != 1:
            found = f"holds {' and '.join(given)}" if given else "names no table, query or path"
            raise mistake(
                f"{found}; exactly one is needed",
                "table: marts.vip_customers (or query: SELECT …, or path: data/customers.parquet)",
                field=given[1] if given else "",
            )
        return self

    def to_source(self, run_date: str) -> Source:
        """The place in the terms of the warehouse package, for one run date."""
        if self.table is not None:
            return TableSource(self.table)
        if self.query is not None:
            return QuerySource(self.query, run_date)
        return FileSource(self.path or "")


class ExcludeBlock(PlaceBlock):
    """People who are never sent, read in the source's warehouse."""

    column: Text | None = Field(
        default=None, description="Their identifiers; else as for `identifier`", examples=["email"]
    )

    def columns(self, usual: tuple[str, ...]) -> tuple[str, ...]:
        """The columns to look for, first match first; without one of its own those of the segment."""
        return usual if self.column is None else (self.column,)


class SourceBlock(PlaceBlock):
    """Where the segment is read: exactly one of `table`, `query` and `path`."""

    warehouse: ResourceKey = Field(default="warehouse", description="Resource key", examples=["warehouse"])
    updated_at: Text | None = Field(
        default=None, description="Column for cheap change detection", examples=["updated_at"]
    )
    checksum: bool = Field(
        default=False, description="Detect changes by reading the identifier column", examples=["true"]
    )
    depends_on: list[UpstreamKey] = Field(
        default_factory=list,
        description="Upstream Dagster assets, for lineage and triggering",
        examples=["[marts/vip_customers]"],
    )

    exclude: ExcludeBlock | None = Field(
        default=None,
        description="People never to be sent",
        examples=["{table: marts.opted_out, column: email}"],
    )

    @model_validator(mode="after")
    def _what_tells_changes_fits_the_source(self) -> Self:
        if self.path is not None and self.updated_at is not None:
            raise mistake(
                "is for tables and queries; of a file its size and time of change are compared",
                "leave this field out",
                field="updated_at",
            )
        if self.checksum and (self.path is not None or self.updated_at is not None):
            known = "the size and time of change of a file are" if self.path else "updated_at is"
            raise mistake(f"has no effect here: {known} compared", "leave this field out", field="checksum")
        return self

    @field_validator("depends_on")
    @classmethod
    def _each_once(cls, keys: list[str]) -> list[str]:
        for key in keys:
            if keys.count(key) > 1:
                raise mistake(f'"{key}" is named twice', "leave one out")
        return keys

    @property
    def tells_changes(self) -> bool:
        """Whether the source itself can be asked for a version of its data."""
        return self.path is not None or self.updated_at is not None or self.checksum


_FIELDS_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "email": ("strict_line_characters",),
    "phone": ("default_country", "phone_format", "phone_validation"),
    "ifa": ("ifa_case", "hash_ifa"),
}
_USUAL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "email": ("email",),
    "phone": ("phone",),
    "ifa": ("ifa", "idfa", "gaid", "advertising_id"),
}


class IdentifierBlock(Block):
    """Which identifier is sent, and how its values are to be read."""

    type: Literal["email", "phone", "ifa"] = Field(description="Identifier type", examples=["email"])
    column: Text | None = Field(default=None, description="Its column", examples=["email"])
    strict_line_characters: bool = Field(
        default=False, description="E-mail: skip what LINE's manual does not list", examples=["true"]
    )
    default_country: str | None = Field(default=None, description="Phone: ISO 3166 country", examples=["JP"])
    phone_format: Literal["international", "national", "as_given"] = Field(
        default="international", description="Phone: which digits are hashed", examples=["international"]
    )
    phone_validation: Literal["valid", "possible"] = Field(
        default="valid", description="Phone: how strict", examples=["valid"]
    )
    ifa_case: Literal["preserve", "lower", "upper"] = Field(
        default="preserve", description="IFA: letter case that is sent", examples=["preserve"]
    )
    hash_ifa: bool = Field(default=False, description="IFA: hash, against LINE's rule", examples=["false"])

    @field_validator("default_country")
    @classmethod
    def _known_country(cls, country: str | None) -> str | None:
        if country is not None and country not in SUPPORTED_REGIONS:
            known = country.upper() if country.upper() in SUPPORTED_REGIONS else "JP"
            raise mistake(
                f'"{shown(country)}" is not a country code of two capital letters (ISO 3166)',
                f"default_country: {known}",
            )
        return country

    @model_validator(mode="after")
    def _fields_belong_to_the_type(self) -> Self:
        for owner, fields in _FIELDS_OF_TYPE.items():
            for field in fields:
                if owner != self.type and field in self.model_fields_set:
                    raise mistake(
                        f"is for the identifier type {owner} only, here it is {self.type}",
                        f"leave this field out, or set identifier.type: {owner}",
                        field=field,
                    )
        if self.hash_ifa and "ifa_case" in self.model_fields_set:
            raise mistake(
                "has no effect with hash_ifa, which always hashes lower case",
                "leave this field out",
                field="ifa_case",
            )
        return self

    @property
    def id_type(self) -> IdType:
        """LINE's name of the identifier type."""
        return ID_TYPES[self.type]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to look for, first match first."""
        return (self.column,) if self.column is not None else _USUAL_COLUMNS[self.type]

    def to_rules(self) -> Rules:
        """The rules by which values are normalised, validated and hashed."""
        if self.type == "email":
            return EmailRules(strict_line_characters=self.strict_line_characters)
        if self.type == "phone":
            return PhoneRules(
                default_country=self.default_country,
                phone_format=self.phone_format,
                phone_validation=self.phone_validation,
            )
        return IfaRules(ifa_case=self.ifa_case, hash_ifa=self.hash_ifa)


class DestinationBlock(Block):
    """The LINE custom audience, and what a sync does to it."""

    ad_account_id: OpaqueId = Field(description="LINE ad account", examples=["A10000000001"])
    audience_name: AudienceName | None = Field(
        default=None,
        description="Name in LINE; needed unless audience_id is given",
        examples=["VIP customers"],
    )
    audience_id: OpaqueId | None = Field(
        default=None, description="An existing audience", examples=['"5343822743474"']
    )
    adopt: bool = Field(
        default=False, description="May take over an audience this pipeline did not make", examples=["true"]
    )
    sync_mode: SyncMode = Field(default="mirror", description="mirror or add", examples=["mirror"])
    credentials: ResourceKey = Field(default="line_ads", description="Resource key", examples=["line_ads"])
    max_records_per_upload: int = Field(
        default=1_000_000, ge=1, le=MOST_ROWS_PER_UPLOAD, description="Rows per upload", examples=["1000000"]
    )
    when_empty: WhenEmpty = Field(
        default="refuse", description="Mirror: what a segment of nobody does", examples=["refuse"]
    )
    wait_for_processing: bool = Field(
        default=True, description="A run waits until LINE has processed the last upload", examples=["true"]
    )
    incremental: bool = Field(default=False, description="Send only what is new", examples=["true"])
    full_replace_every: Duration = Field(
        default=timedelta(days=30),
        description="Incremental mirror: how old its last full replace may be",
        examples=["30d"],
    )

    @model_validator(mode="after")
    def _audience_is_named(self) -> Self:
        if self.audience_name is None and self.audience_id is None:
            raise mistake("names no audience", "audience_name: VIP customers")
        if self.audience_id is not None and "adopt" in self.model_fields_set:
            raise mistake(
                "has no effect beside audience_id, which is used whoever made the audience",
                "leave this field out",
                field="adopt",
            )
        return self

    @model_validator(mode="after")
    def _full_replaces_are_of_incremental_mirrors(self) -> Self:
        if "full_replace_every" not in self.model_fields_set:
            return self
        if self.sync_mode == "add":
            raise mistake(
                "is for mirrors: with sync_mode: add nothing is ever replaced",
                "leave this field out, or set sync_mode: mirror",
                field="full_replace_every",
            )
        if not self.incremental:
            raise mistake(
                "has no effect without incremental: true, since every sync is a full replace",
                "incremental: true beside it, or leave this field out",
                field="full_replace_every",
            )
        return self

    @model_validator(mode="after")
    def _nobody_is_possible(self) -> Self:
        if self.sync_mode == "add" and "when_empty" in self.model_fields_set:
            raise mistake(
                "has no effect with sync_mode: add, which removes nobody",
                "leave this field out, or set sync_mode: mirror",
                field="when_empty",
            )
        if self.when_empty == "delete_audience" and self.audience_id is not None:
            raise mistake(
                "would delete the audience of this audience_id for good: there would be nothing left to sync to",
                "audience_name alone, without audience_id, so that the next sync makes a new one; or when_empty: refuse",
                field="when_empty",
            )
        return self


def _is_iana_name(name: str) -> bool:
    """Whether it means the same everywhere: a machine's zone database also has names of its own."""
    return name not in {"localtime", "posixrules", "Factory"} and not name.startswith(("posix/", "right/"))


def _closest_time_zone(name: str) -> str:
    known = sorted(filter(_is_iana_name, available_timezones()))
    place = shown(name).rpartition("/")[2].replace(" ", "_").lower()
    same_place = [zone for zone in known if zone.rpartition("/")[2].lower() == place]
    return next(iter([*same_place, *get_close_matches(shown(name), known, n=1, cutoff=0.75)]), "Asia/Tokyo")


class RunFrequencyBlock(Block):
    """When the audience is promised to be synced; one cron string in its own time zone."""

    every: Literal["daily", "weekly", "monthly"] = Field(
        default="daily", description="Frequency", examples=["weekly"]
    )
    day_of_week: Weekday | None = Field(default=None, description="Weekly only", examples=["monday"])
    day_of_month: str | None = Field(
        default=None, description="Monthly only: 1 to 28, or last", examples=["1", "last"]
    )
    time_of_day: time = Field(default=time(0, 0), description="Hours and minutes", examples=['"09:30"'])
    time_zone: str = Field(default="UTC", description="IANA name", examples=["Asia/Tokyo"])
    start_date: date = Field(
        default=date(2026, 1, 1), description="First run date", examples=['"2026-01-01"']
    )
    late_after: Duration = Field(
        default=timedelta(hours=6), description="Freshness: late when not synced by then", examples=["6h"]
    )

    @field_validator("time_of_day", mode="before")
    @classmethod
    def _hours_and_minutes(cls, value: object) -> object:
        if isinstance(value, time):
            return value
        match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", str(value))
        if not match or int(match[1]) > 23 or int(match[2]) > 59:  # noqa: PLR2004 - hours and minutes of a day
            raise mistake(
                f'"{shown(value)}" is not a time of day from 00:00 to 23:59', 'time_of_day: "09:30"'
            )
        return time(int(match[1]), int(match[2]))

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        else:
            known = _is_iana_name(name)
        if not known:
            raise mistake(
                f'"{shown(name)}" is not an IANA time zone', f"time_zone: {_closest_time_zone(name)}"
            )
        return name

    @field_validator("start_date", mode="before")
    @classmethod
    def _calendar_date(cls, value: object) -> object:
        text = value.isoformat() if isinstance(value, date) else str(value)
        try:
            day = date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
        except ValueError:
            day = None
        if day is None:
            raise mistake(
                f'"{shown(value)}" is not a date of the form YYYY-MM-DD', 'start_date: "2026-01-01"'
            )
        if day.year not in START_YEARS:
            raise mistake(
                f'"{day}" is not between {START_YEARS[0]} and {START_YEARS[-1]}', 'start_date: "2026-01-01"'
            )
        return day

    @field_validator("day_of_month", mode="before")
    @classmethod
    def _day_every_month_has(cls, value: object) -> object:
        text = str(value)
        if text == "last" or (
            re.fullmatch(r"[0-9]{1,2}", text) and 1 <= int(text) <= LAST_DAY_EVERY_MONTH_HAS
        ):
            return text.lstrip("0")
        raise mistake(f'"{shown(value)}" is not a day from 1 to 28, nor "last"', "day_of_month: last")

    @model_validator(mode="after")
    def _days_fit_the_frequency(self) -> Self:
        for every, field, example in (("weekly", "day_of_week", "monday"), ("monthly", "day_of_month", "1")):
            given = getattr(self, field) is not None
            if given and self.every != every:
                raise mistake(
                    f"is for {every} only, here it is {self.every}",
                    f"leave this field out, or set every: {every}",
                    field=field,
                )
            if not given and self.every == every:
                raise mistake(f"is {every} but lacks {field}", f"{field}: {example}")
        return self

    @model_validator(mode="after")
    def _late_before_the_next_run(self) -> Self:
        longest = longest_late_after(self.cron, time_zone=self.time_zone, wanted=self.late_after)
        if longest < self.late_after:
            instead = f"{longest.days}d" if longest.days else f"{longest // timedelta(hours=1)}h"
            raise mistake(
                f"is so long that, {self.in_words}, the next run would be due before this one is late",
                f"late_after: {instead} or less",
                field="late_after",
            )
        return self

    @property
    def in_words(self) -> str:
        """Such as `weekly on monday at 09:30 Asia/Tokyo`."""
        day = {
            "daily": "",
            "weekly": f" on {self.day_of_week}",
            "monthly": f" on day {self.day_of_month}" if self.day_of_month != "last" else " on the last day",
        }[self.every]
        return f"{self.every}{day} at {self.time_of_day:%H:%M} {self.time_zone}"

    @property
    def cron(self) -> str:
        """The cron string, to be read in `time_zone`."""
        day_of_month = {"last": "L", None: "*"}.get(self.day_of_month, self.day_of_month)
        day_of_week = "*" if self.day_of_week is None else get_args(Weekday).index(self.day_of_week)
        return f"{self.time_of_day.minute} {self.time_of_day.hour} {day_of_month} * {day_of_week}"


class UpdateBlock(Block):
    """How often the source is asked for changes, and how often a change may start a sync."""

    check_every: Duration = Field(
        default=timedelta(minutes=10), description="Between two looks at the source", examples=["10m"]
    )
    at_most_every: Duration = Field(
        default=timedelta(hours=24), description="Between a sync and the next update", examples=["24h"]
    )


class GuardrailsBlock(Block):
    """What a mirror must not do without being told to; checked before the first request."""

    min_identifiers: int = Field(
        default=1, ge=1, description="Fewer identifiers are refused", examples=["1000"]
    )
    max_shrink: Share = Field(
        default=0.5, description="Share of the last confirmed members that may leave", examples=["0.5", "50%"]
    )
    max_skipped: Share = Field(
        default=0.5, description="Share of the values not blank that may be skipped", examples=["0.5", "50%"]
    )

    def to_guardrails(self) -> Guardrails:
        """The limits in the terms of the sync package."""
        return Guardrails(
            min_identifiers=self.min_identifiers, max_shrink=self.max_shrink, max_skipped=self.max_skipped
        )


def _block_or_switch(value: object) -> object:
    if isinstance(value, Mapping | UpdateBlock):
        return value
    try:
        switched_on = _SWITCH.validate_python(value)
    except ValidationError:
        problem = f"is {_found(value)}, not true, false or a block of fields"
    else:
        return UpdateBlock() if switched_on else None
    raise mistake(problem, "update_on_change: true, or {check_every: 10m, at_most_every: 24h}")


_SWITCH = TypeAdapter(bool)


class Audience(Block):
    """One audience file: a segment of the warehouse, and the LINE custom audience that it keeps in step."""

    name: AudienceKey = Field(description="First part of the asset keys", examples=["vip_customers"])
    description: Text | None = Field(
        default=None, description="Shown in the UI", examples=["Our best customers"]
    )
    owners: list[Owner] = Field(
        default_factory=list, description="Teams or people", examples=['["team:crm"]']
    )
    source: SourceBlock = Field(description="Where the segment is", examples=["{table: marts.vip_customers}"])
    identifier: IdentifierBlock = Field(description="What is sent", examples=["{type: email}"])
    destination: DestinationBlock = Field(
        description="Where it goes", examples=["{ad_account_id: A10000000001, audience_name: VIP customers}"]
    )
    run_frequency: RunFrequencyBlock = Field(
        default_factory=RunFrequencyBlock, description="When", examples=["{every: daily}"]
    )
    keep_updated: bool = Field(
        default=True, description="The schedule is on from the start", examples=["true"]
    )
    update_on_change: Annotated[
        UpdateBlock | None, BeforeValidator(_block_or_switch, json_schema_input_type=bool | UpdateBlock)
    ] = Field(default=None, description="A sensor runs it when the source changes", examples=["true"])
    guardrails: GuardrailsBlock = Field(
        default_factory=GuardrailsBlock,
        description="Mirror: what is refused before anything is sent",
        examples=["{max_shrink: 50%}"],
    )

    @model_validator(mode="after")
    def _changes_can_be_told(self) -> Self:
        if self.update_on_change is not None and not (self.source.tells_changes or self.source.depends_on):
            raise mistake(
                "cannot tell when this source changes: there is no updated_at",
                "in source, updated_at: with a column whose newest value moves with every change. Without one, "
                "checksum: true, which reads the identifier column at most once an hour, or depends_on: with the "
                "Dagster assets that make the table",
                field="update_on_change",
            )
        parts = ("source_segment", "hashed_identifiers", "line_custom_audience")
        own = next(
            (f"{self.name}/{part}" for part in parts if f"{self.name}/{part}" in self.source.depends_on), None
        )
        if own is not None:
            raise mistake(
                f'"{own}" is an asset of this audience itself',
                "the assets that make the table, such as marts/vip_customers",
                field="source.depends_on",
            )
        return self

    @model_validator(mode="after")
    def _guardrails_guard_a_mirror(self) -> Self:
        if self.destination.sync_mode == "add" and "guardrails" in self.model_fields_set:
            raise mistake(
                "has no effect with sync_mode: add, which removes nobody",
                "leave this block out, or set destination.sync_mode: mirror",
                field="guardrails",
            )
        return self

    def to_destination(self) -> Destination:
        """The LINE audience in the terms of the sync package."""
        return Destination(
            audience=self.name,
            ad_account_id=self.destination.ad_account_id,
            id_type=self.identifier.id_type,
            audience_name=self.destination.audience_name,
            audience_id=self.destination.audience_id,
            adopt=self.destination.adopt,
        )

    def to_synchroniser(self, records: AudienceRecords, line_ads: LineAdsConnection) -> Synchroniser:
        """What brings snapshots of the audience to LINE."""
        return Synchroniser(
            client=line_ads.client,
            records=records,
            destination=self.to_destination(),
            coordination=line_ads.coordination,
            mode=self.destination.sync_mode,
            max_records=self.destination.max_records_per_upload,
            guardrails=self.guardrails.to_guardrails(),
            incremental=self.destination.incremental,
            full_replace_every=self.destination.full_replace_every,
            when_empty=self.destination.when_empty,
            wait_for_processing=self.destination.wait_for_processing,
            replaces_at_once=line_ads.replaces_at_once,
            patience=line_ads.patience,
        )
