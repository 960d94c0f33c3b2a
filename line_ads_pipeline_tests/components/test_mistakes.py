"""Each mistake in an audience file is one clear error of at most five lines."""

import logging
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from dagster._cli.definitions import definitions_validate_command

GOOD = """\
type: line_ads_pipeline.components.LineAudience
attributes:
  name: vip_customers
  description: Customers with three orders or more
  owners: ["team:crm"]
  source:
    table: marts.vip_customers
    updated_at: updated_at
  identifier:
    type: email
    column: email
  destination:
    ad_account_id: A10000000001
    audience_name: VIP customers
    sync_mode: mirror
  run_frequency:
    every: daily
    time_of_day: "09:30"
    time_zone: Asia/Tokyo
  keep_updated: true
"""

# what is replaced in GOOD, by what, and words that the error must hold; the last is what to write instead
MISTAKES = {
    "name with capitals": ("name: vip_customers", "name: VIP", ["line 3", "name:", '"VIP"', "name: vip_customers"]),
    "name missing": ("  name: vip_customers\n", "", ["name: is missing", "name: vip_customers"]),
    "name empty": ("name: vip_customers", "name:", ["name:", "empty"]),
    "unknown field": ("keep_updated: true", "keep_updatd: true", ["line 20", "keep_updatd", "keep_updated"]),
    "unknown field in a block": ("table: marts", "tabel: marts", ["line 7", "source.tabel", "table"]),
    "field twice": ("type: email", "type: email\n    type: phone", ["line 11", "type", "twice"]),
    "block missing": ("  identifier:\n    type: email\n    column: email\n", "", ["identifier", "is missing"]),
    "text for a block": ("  source:\n    table: marts.vip_customers\n    updated_at: updated_at\n", "  source: marts.vip\n", ["source", "not a block"]),
    "list for a text": ("column: email", "column: [email, mail]", ["identifier.column", "a list"]),
    "text for a list": ('owners: ["team:crm"]', "owners: crm", ["owners", "not a list", '["team:crm"]']),
    "owner is neither team nor person": ('["team:crm"]', '["crm"]', ["owners.0", '"crm"']),
    "no source": ("    table: marts.vip_customers\n    updated_at: updated_at\n", "    warehouse: warehouse\n", ["source", "exactly one", "table: marts"]),
    "two sources": ("    updated_at: updated_at", "    query: SELECT 1", ["source.query", "table and query", "exactly one"]),
    "blank table": ("table: marts.vip_customers", 'table: " "', ["source.table", "blank"]),
    "updated_at of a file": ("table: marts.vip_customers", "path: data/x.csv", ["source.updated_at", "leave"]),
    "identifier type": ("type: email", "type: mail", ["line 10", "identifier.type", '"mail"', "email, phone, ifa", "type: email"]),
    "field of another type": ("column: email", "default_country: JP", ["identifier.default_country", "phone only"]),
    "country by name": ("type: email\n    column: email", "type: phone\n    default_country: Japan", ["default_country", '"Japan"', "ISO 3166"]),
    "country in small letters": ("type: email\n    column: email", "type: phone\n    default_country: jp", ["default_country: JP"]),
    "phone format": ("type: email\n    column: email", "type: phone\n    phone_format: e164", ["phone_format", "international, national, as_given"]),
    "hash_ifa beside ifa_case": ("type: email\n    column: email", "type: ifa\n    hash_ifa: true\n    ifa_case: upper", ["identifier.ifa_case", "hash_ifa"]),
    "ad account missing": ("    ad_account_id: A10000000001\n", "", ["destination.ad_account_id", "is missing", "A10000000001"]),
    "ad account empty": ("ad_account_id: A10000000001", "ad_account_id:", ["destination.ad_account_id", "empty"]),
    "ad account with a slash": ("A10000000001", "A1/x", ["destination.ad_account_id", '"A1/x"']),
    "no audience": ("    audience_name: VIP customers\n", "", ["destination", "names no audience", "audience_name:"]),
    "audience name too long": ("VIP customers", "V" * 121, ["destination.audience_name", "121 characters", "120"]),
    "credentials": ("sync_mode: mirror", "credentials: line_adds", ["line 15", "destination.credentials", "not a resource", "credentials: line_ads"]),
    "warehouse": ("updated_at: updated_at", "warehouse: snowflake", ["source.warehouse", "line 8", "not a resource", "warehouse: warehouse"]),
    "sync mode": ("sync_mode: mirror", "sync_mode: replace", ["destination.sync_mode", "mirror, add"]),
    "rows per upload not a number": ("sync_mode: mirror", "max_records_per_upload: many", ["max_records_per_upload", "whole number"]),
    "too many rows per upload": ("sync_mode: mirror", "max_records_per_upload: 2000000", ["max_records_per_upload", "1500000"]),
    "no rows per upload": ("sync_mode: mirror", "max_records_per_upload: 0", ["max_records_per_upload", "less than 1"]),
    "frequency": ("every: daily", "every: hourly", ["run_frequency.every", "daily, weekly, monthly"]),
    "weekly without a day": ("every: daily", "every: weekly", ["run_frequency", "day_of_week: monday"]),
    "weekday of a daily run": ("every: daily", "every: daily\n    day_of_week: monday", ["day_of_week", "weekly only"]),
    "weekday misspelt": ("every: daily", "every: weekly\n    day_of_week: mon", ["day_of_week", "monday"]),
    "day that some months lack": ("every: daily", "every: monthly\n    day_of_month: 31", ["day_of_month", "1 to 28", "last"]),
    "time of day": ('"09:30"', '"24:30"', ["time_of_day", '"24:30"', '"09:30"']),
    "time zone": ("Asia/Tokyo", "Asia/Tokio", ["time_zone", "Asia/Tokyo"]),
    "time zone by abbreviation": ("Asia/Tokyo", "JST+9", ["time_zone", '"JST+9"', "time_zone:"]),
    "start date": ("every: daily", "every: daily\n    start_date: 01/02/2026", ["start_date", "YYYY-MM-DD"]),
    "neither true nor false": ("keep_updated: true", "keep_updated: maybe", ["keep_updated", "true nor false"]),
    "guardrails of an add": ("sync_mode: mirror\n", "sync_mode: add\n  guardrails: {max_shrink: 50%}\n", ["line 16", "guardrails:", "no effect with sync_mode: add", "leave this block out, or set destination.sync_mode: mirror"]),
    "guardrails of an add that say the defaults": ("sync_mode: mirror\n", "sync_mode: add\n  guardrails: {}\n", ["line 16", "guardrails:", "no effect"]),
    "guardrails are switched off": ("keep_updated: true", "guardrails: false", ["line 20", "guardrails", '"false"', "not a block", "guardrails: {max_shrink: 50%}"]),
    "field of guardrails": ("keep_updated: true", "guardrails: {max_shrnk: 50%}", ["line 20", "guardrails.max_shrnk", "max_shrink"]),
    "min_identifiers of nobody": ("keep_updated: true", "guardrails: {min_identifiers: 0}", ["line 20", "guardrails.min_identifiers", '"0" is less than 1', "min_identifiers: 1000"]),
    "min_identifiers is a share": ("keep_updated: true", "guardrails: {min_identifiers: 50%}", ["line 20", "guardrails.min_identifiers", '"50%" is not a whole number']),
    "share above one": ("keep_updated: true", "guardrails: {max_shrink: 50}", ["line 20", "guardrails.max_shrink", 'is "50", not a share from 0 to 1', "max_shrink: 0.5"]),
    "share above all": ("keep_updated: true", "guardrails: {max_shrink: 101%}", ["guardrails.max_shrink", '"101%"']),
    "share below none": ("keep_updated: true", "guardrails: {max_skipped: -0.1}", ["line 20", "guardrails.max_skipped", '"-0.1"', "max_skipped: 0.5"]),
    "share that is no number": ("keep_updated: true", "guardrails: {max_skipped: half}", ["guardrails.max_skipped", '"half"', "a percentage such as 50%"]),
    "share that is not a number": ("keep_updated: true", "guardrails: {max_skipped: .nan}", ["guardrails.max_skipped", '".nan"', "a percentage such as 50%"]),
    "share in other digits": ("keep_updated: true", "guardrails: {max_shrink: ٥٠%}", ["guardrails.max_shrink", "not a share"]),
    "share that is left empty": ("keep_updated: true", "guardrails: {max_shrink: }", ["guardrails.max_shrink", "is empty", "max_shrink: 0.5"]),
    "when_empty": ("sync_mode: mirror", "when_empty: delete_audiences", ["line 15", "destination.when_empty", "refuse, delete_audience", "when_empty: delete_audience"]),
    "when_empty of an add": ("sync_mode: mirror", "sync_mode: add\n    when_empty: delete_audience", ["line 16", "destination.when_empty", "no effect with sync_mode: add", "leave this field out"]),
    "when_empty of an add that says the default": ("sync_mode: mirror", "sync_mode: add\n    when_empty: refuse", ["line 16", "destination.when_empty", "no effect"]),
    "when_empty would delete an audience given by id": ("audience_name: VIP customers", 'audience_id: "1"\n    when_empty: delete_audience', ["line 15", "destination.when_empty", "for good", "audience_name alone"]),
    "when_empty would delete a renamed audience": ("sync_mode: mirror", 'audience_id: "1"\n    when_empty: delete_audience', ["line 16", "destination.when_empty", "for good", "audience_name alone"]),
    "wait_for_processing": ("sync_mode: mirror", "wait_for_processing: 10m", ["line 15", "destination.wait_for_processing", '"10m"', "true nor false", "wait_for_processing: true"]),
    "full_replace_every of what is not incremental": ("sync_mode: mirror", "full_replace_every: 30d", ["line 15", "destination.full_replace_every", "no effect without incremental: true", "leave this field out"]),
    "full_replace_every beside incremental: false": ("sync_mode: mirror", "incremental: false\n    full_replace_every: 30d", ["line 16", "destination.full_replace_every", "no effect without incremental: true"]),
    "full_replace_every of an add": ("sync_mode: mirror", "sync_mode: add\n    incremental: true\n    full_replace_every: 30d", ["line 17", "destination.full_replace_every", "is for mirrors", "set sync_mode: mirror"]),
    "full_replace_every without a unit": ("sync_mode: mirror", "incremental: true\n    full_replace_every: 30", ["line 16", "destination.full_replace_every", '"30"', "one number and unit", "full_replace_every: 30d"]),
    "update_on_change of a table that tells nothing": ("    updated_at: updated_at\n", "  update_on_change: true\n", ["line 8", "update_on_change", "there is no updated_at", "in source, updated_at:", "checksum: true", "depends_on:"]),
    "update_on_change neither true nor false": ("keep_updated: true", "update_on_change: daily", ["line 20", "update_on_change", '"daily"', "check_every: 10m"]),
    "update_on_change is empty": ("keep_updated: true", "update_on_change:", ["line 20", "update_on_change", "empty", "check_every: 10m"]),
    "update_on_change is a list": ("keep_updated: true", "update_on_change: [10m]", ["line 20", "update_on_change", "a list", "check_every: 10m"]),
    "field of update_on_change": ("keep_updated: true", "update_on_change: {every: 10m}", ["line 20", "update_on_change.every", "check_every"]),
    "duration without a unit": ("keep_updated: true", "update_on_change: {check_every: 600}", ["line 20", "update_on_change.check_every", '"600"', "one number and unit", "90s, 10m, 6h or 30d", "check_every: 10m"]),
    "duration that is left empty": ("keep_updated: true", "update_on_change: {check_every: }", ["line 20", "update_on_change.check_every", "is empty", "check_every: 10m"]),
    "duration of nothing": ("keep_updated: true", "update_on_change: {at_most_every: 0h}", ["update_on_change.at_most_every", '"0h"', "at_most_every: 24h"]),
    "duration beyond a year": ("keep_updated: true", "update_on_change: {at_most_every: 367d}", ["update_on_change.at_most_every", "more than 366d"]),
    "depends_on is not a list": ("updated_at: updated_at", "depends_on: marts/vip", ["line 8", "source.depends_on", "not a list", "depends_on: [marts/vip_customers]"]),
    "depends_on that is no asset key": ("updated_at: updated_at", "depends_on: [marts.vip.orders, 'marts vip']", ["line 8", "source.depends_on", '"marts vip"', "asset key such as marts/vip_customers"]),
    "depends_on an asset of its own": ("updated_at: updated_at", "depends_on: [vip_customers/source_segment]", ["line 8", "source.depends_on", "of this audience itself"]),
    "depends_on the same twice": ("updated_at: updated_at", "depends_on: [marts/vip, marts/vip]", ["line 8", "source.depends_on", '"marts/vip"', "twice"]),
    "exclude without a place": ("updated_at: updated_at", "exclude: {column: email}", ["line 8", "source.exclude", "names no table, query or path", "table: marts.vip_customers"]),
    "exclude of two places": ("updated_at: updated_at", "exclude: {table: opted_out, path: out.csv}", ["line 8", "source.exclude.path", "holds table and path", "exactly one"]),
    "field of exclude": ("updated_at: updated_at", "exclude: {table: opted_out, colum: email}", ["line 8", "source.exclude.colum", "Instead: column"]),
    "exclude is a list": ("updated_at: updated_at", "exclude: [opted_out]", ["line 8", "source.exclude", "not a block of fields", "exclude: {table: marts.opted_out, column: email}"]),
    "checksum beside updated_at": ("updated_at: updated_at", "updated_at: updated_at\n    checksum: true", ["line 9", "source.checksum", "has no effect", "updated_at"]),
    "checksum of a file": ("table: marts.vip_customers\n    updated_at: updated_at", "path: vip.csv\n    checksum: true", ["line 8", "source.checksum", "has no effect", "size and time"]),
    "incremental": ("sync_mode: mirror", "incremental: daily", ["line 15", "destination.incremental", '"daily"', "true nor false", "incremental: true"]),
    "late_after beyond the next run": ("every: daily", "every: daily\n    late_after: 24h", ["line 18", "run_frequency.late_after", "so long", "late_after: 23h or less"]),
    "late_after without a unit": ("every: daily", "every: daily\n    late_after: 6", ["line 18", "run_frequency.late_after", '"6"', "late_after: 6h"]),
    "template of an unset variable": ("A10000000001", '"{{ env.NO_SUCH_VARIABLE }}"', ["line 13", "destination.ad_account_id", "NO_SUCH_VARIABLE", "not set"]),
    "component type": ("LineAudience\n", "LineAudiense\n", ["line 1", "type", "LineAudience"]),
    "no component type": ("type: line_ads_pipeline.components.LineAudience\n", "", ["type", "is missing"]),
    "field at the top": ("attributes:", "name: x\nattributes:", ["line 2", "name", "attributes"]),
    "no attributes": (GOOD.split("\n", 1)[1], "", ["name", "is missing"]),
    "attributes are a list": (GOOD.split("\n", 1)[1], "attributes: [a]\n", ["attributes", "not a block"]),
    "tab": ("    table:", "\ttable:", ["line 7", "YAML"]),
    "tab before a value": ("column: email", "column: \temail", ["line 11", "YAML"]),
    "unclosed quote": ('"09:30"', '"09:30', ["YAML"]),
    "empty file": (GOOD, "", ["is empty", "type:"]),
    "template without quotes": ("ad_account_id: A10000000001", "ad_account_id: {{ env.X }}", ["line 13", "destination.ad_account_id", "without quotes", 'ad_account_id: "{{ env.X }}"']),
    "template of a variable without quotes": ("table: marts.vip_customers", "table: {{ table }}", ["line 7", "source.table", 'table: "{{ table }}"']),
    "template without quotes, and more": ("A10000000001", "{{ env.X }}-1", ["line 13", "YAML", '"{{ env.NAME }}"']),
    "component type without its package": ("line_ads_pipeline.components.LineAudience", "LineAudience", ["line 1", "type:", '"LineAudience"', "type: line_ads_pipeline.components.LineAudience"]),
    "component type of an unknown package": ("line_ads_pipeline.components.LineAudience", "line_ads.LineAudience", ["line 1", '"line_ads.LineAudience"', "type: line_ads_pipeline.components.LineAudience"]),
    "component type of an unknown package of others": ("line_ads_pipeline.components.LineAudience", "crm.Segment", ["line 1", '"crm.Segment"', "type: line_ads_pipeline.components.LineAudience"]),
    "component type that is no component": ("line_ads_pipeline.components.LineAudience", "line_ads_pipeline.components.load_audiences", ["line 1", "is not a component"]),
    "component type is a block": ("type: line_ads_pipeline.components.LineAudience", "type: {a: b}", ["line 1", "type:", "is not a component"]),
    "tag of others": ("A10000000001", "!env X", ["line 13", "destination.ad_account_id", '"!env"']),
    "tag of Python": ("A10000000001", "!!python/object/apply:os.getcwd []", ["line 13", "destination.ad_account_id", '"!!python/object/apply:os.getcwd"']),
    "tag of a number": ("A10000000001", '!!int "x"', ["line 13", "destination.ad_account_id", '"!!int"']),
    "tag of a field's name": ("ad_account_id:", "!x ad_account_id:", ["line 13", "destination.ad_account_id", "not the name of a field"]),
    "equals sign": ("name: vip_customers", "name: =", ["line 3", "name:", '"=" means something else']),
    "hexadecimal without digits": ("name: vip_customers", "name: 0x_", ["line 3", "name:", '"0x_"']),
    "merge of a text": ("sync_mode: mirror", "<<: hello", ["line 15", "destination.<<", "not a block"]),
    "merge of texts": ("sync_mode: mirror", "<<: [hello]", ["line 15", "destination.<<", "not a block"]),
    "list for a field's name": ("sync_mode: mirror", "? [a]\n    : b", ["line 15", "destination", "list in place of a field's name"]),
    "truth value for a field's name": ("keep_updated: true", "on: true", ["line 20", "on:", "not the name of a field"]),
    "number for a field's name": ("keep_updated: true", "2026: true", ["line 20", "2026:", "not the name of a field"]),
    "reference to itself": ("A10000000001", "&a [*a]", ["line 13", "destination.ad_account_id", "holds itself"]),
    "reference to the block around": ("destination:\n    ad_account_id: A10000000001", "destination: &a\n    ad_account_id: *a", ["line 13", "destination.ad_account_id", "holds itself"]),
    "deep nesting": ("A10000000001", "[" * 3000 + "]" * 3000, ["line 13", "nests more than 20 blocks"]),
    "many references": ("A10000000001", "[&a b" + ", *a" * 21 + "]", ["line 13", "more than 20 references"]),
    "number of 5,000 digits": ("A10000000001", "9" * 5000, ["line 13", "destination.ad_account_id", "5000 characters"]),
    "quoted number of 5,000 digits": ("sync_mode: mirror", 'max_records_per_upload: "' + "9" * 5000 + '"', ["line 15", "max_records_per_upload", "whole number"]),
    "day of 5,000 digits": ("every: daily", 'every: monthly\n    day_of_month: "' + "9" * 5000 + '"', ["line 18", "day_of_month", "1 to 28"]),
    "day after the last of every month": ("every: daily", "every: monthly\n    day_of_month: 29", ["day_of_month", '"29"', "1 to 28"]),
    "day before the first": ("every: daily", "every: monthly\n    day_of_month: 0", ["day_of_month", '"0"', "1 to 28"]),
    "first day of the calendar": ("every: daily", 'every: daily\n    start_date: "0001-01-01"', ["line 18", "run_frequency.start_date", "2000 and 2100"]),
    "last day of the calendar": ("every: daily", 'every: daily\n    start_date: "9999-12-31"', ["line 18", "run_frequency.start_date", "2000 and 2100"]),
    "start date without hyphens": ("every: daily", "every: daily\n    start_date: 20260101", ["start_date", "YYYY-MM-DD"]),
    "start date by week": ("every: daily", "every: daily\n    start_date: 2026-W01-1", ["start_date", "YYYY-MM-DD"]),
    "start date that does not exist": ("every: daily", "every: daily\n    start_date: 2026-02-30", ["start_date", '"2026-02-30"', "YYYY-MM-DD"]),
    "requirements are a list": ("attributes:", "requirements: [x]\nattributes:", ["line 2", "requirements", "{env:"]),
    "requirements of a wrong kind": ("attributes:", "requirements: {env: X}\nattributes:", ["line 2", "requirements", "{env:"]),
    "post_processing is a text": ("attributes:", "post_processing: x\nattributes:", ["line 2", "post_processing", "{assets:"]),
    "post_processing of a wrong kind": ("attributes:", "post_processing: {assets: x}\nattributes:", ["line 2", "post_processing", "{assets:"]),
    "post_processing of texts": ("attributes:", "post_processing: {assets: [{attributes: x}]}\nattributes:", ["line 2", "post_processing", "{assets:"]),
    "template variables that are not there": ("attributes:", "template_vars_module: no_such_module\nattributes:", ["line 2", "template_vars_module", '"no_such_module"']),
    "template variables that are not beside": ("attributes:", "template_vars_module: .template_vars\nattributes:", ["line 2", '".template_vars"']),
    "template variables are a list": ("attributes:", "template_vars_module: [x]\nattributes:", ["line 2", "template_vars_module"]),
    "value of six lines": ("type: email", "type: |\n" + "      mail\n" * 6, ["line 10", "identifier.type", '"mail mail mail mail mail mail" is not one of']),
    "template in a query of five lines": ("table: marts.vip_customers\n    updated_at: updated_at", "query: |\n" + "      SELECT\n" * 4 + "      {{ nothing }}", ["line 7", "source.query", "nothing", "SELECT SELECT"]),
    "template that is not one": ("A10000000001", '"{{ % }}"', ["line 13", "destination.ad_account_id", "cannot be filled"]),
    "template in a list": ('["team:crm"]', '["{{ nothing }}"]', ["line 5", "owners.0", "nothing"]),
    "value of 20,000 characters": ("type: email", "type: " + "x" * 20000, ["line 10", "identifier.type", "xxx…"]),
    "field of 20,000 characters": ("keep_updated: true", '? "' + "x" * 20000 + '"\n  : true', ["line 20", "xxx…", "not a field"]),
    "audience name with a line break": ("audience_name: VIP customers", 'audience_name: "VIP\\ncustomers"', ["line 14", "audience_name", "line break"]),
    "audience name with a carriage return": ("audience_name: VIP customers", 'audience_name: "VIP\\rcustomers"', ["line 14", "audience_name", "control character"]),
    "audience name with a trailing blank": ("audience_name: VIP customers", 'audience_name: "VIP customers "', ["line 14", "audience_name", "with a blank", "audience_name: VIP customers"]),
    "audience name with a leading blank": ("audience_name: VIP customers", 'audience_name: "\u3000VIP customers"', ["line 14", "with a blank"]),
    "audience name that cannot be seen": ("audience_name: VIP customers", 'audience_name: "\u200b"', ["line 14", "audience_name", "blank"]),
    "audience name that looks blank": ("audience_name: VIP customers", 'audience_name: "\u3164"', ["line 14", "audience_name", "blank"]),
    "warehouse is the store": ("updated_at: updated_at", "warehouse: snapshots", ["line 8", "source.warehouse", "SnapshotStoreResource", "warehouse: warehouse"]),
    "warehouse is the API": ("updated_at: updated_at", "warehouse: line_ads", ["line 8", "LineAdsResource", "warehouse: warehouse"]),
    "credentials are a warehouse": ("sync_mode: mirror", "credentials: warehouse", ["line 15", "WarehouseResource", "credentials: line_ads"]),
    "time zone of this machine": ("Asia/Tokyo", "localtime", ["time_zone", '"localtime"', "time_zone: Asia/Tokyo"]),
    "time zone by file": ("Asia/Tokyo", "/etc/localtime", ["time_zone", '"/etc/localtime"', "time_zone: Asia/Tokyo"]),
    "time zone by continent": ("Asia/Tokyo", "Asia", ["time_zone", '"Asia"', "time_zone: Asia/Tokyo"]),
    "time zone by city": ("Asia/Tokyo", "bangkok", ["time_zone", '"bangkok"', "time_zone: Asia/Bangkok"]),
    "time zone without leap seconds": ("Asia/Tokyo", "posix/Asia/Taipei", ["time_zone", "time_zone: Asia/Taipei"]),
    "time in other digits": ('"09:30"', '"٠٩:٣٠"', ["time_of_day", '"09:30"']),
    "owner that Dagster refuses": ('["team:crm"]', '["佐藤@example.com"]', ["line 5", "owners.0"]),
    "adopt beside an id": ("sync_mode: mirror", 'audience_id: "1"\n    adopt: true', ["line 16", "destination.adopt", "no effect", "leave"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory):
    """One instance for the whole table: a new one takes longer than what is tested."""
    return tmp_path_factory.mktemp("dagster_home")


@pytest.fixture
def project(tmp_path, monkeypatch, request, dagster_home):
    """Makes a Dagster project around audience files, importable under a name of its own."""
    name = "project_" + re.sub(r"\W", "_", request.node.name)[-60:]

    def make(*, others: dict[str, str] | None = None, **files: str) -> str:
        """A module to load; `files` are audiences by folder, `others` further files of the defs folder."""
        root = tmp_path / "root" / name
        (root / "defs").mkdir(parents=True)
        (root / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
        )
        (root / "__init__.py").touch()
        (root / "definitions.py").write_text(
            "from pathlib import Path\nimport dagster as dg\nfrom line_ads_pipeline.components import load_audiences\n"
            "@dg.definitions\ndef defs():\n    return load_audiences(Path(__file__).parent)\n"
        )
        (root / "defs" / "resources.py").write_text(
            "import dagster as dg\n"
            "from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource\n"
            "@dg.definitions\ndef resources():\n    return dg.Definitions(resources={'line_ads': LineAdsResource(), "
            "'warehouse': WarehouseResource(url='duckdb:///x.duckdb'), 'snapshots': SnapshotStoreResource(location='x')})\n"
        )
        for folder, text in files.items():
            file = root / "defs" / "audiences" / folder / "defs.yaml"
            file.parent.mkdir(parents=True)
            file.write_text(text)
        for path, text in (others or {}).items():
            file = root / "defs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return f"{name}.definitions"

    (tmp_path / "root").mkdir()
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    monkeypatch.syspath_prepend(str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path / "root")
    return make


def validate(module: str, caplog: pytest.LogCaptureFixture) -> tuple[int, str]:
    """The exit code of `dagster definitions validate`, and the error as it prints it."""
    logger = logging.getLogger("dagster")
    logger.addHandler(caplog.handler)
    try:
        with pytest.warns(Warning, match="superseded"):
            result = CliRunner().invoke(definitions_validate_command, ["-m", module])
    finally:
        logger.removeHandler(caplog.handler)
    failures = [
        record.getMessage() for record in caplog.records if "Validation failed" in record.getMessage()
    ]
    return result.exit_code, "".join(failures).partition("\n\n")[2].strip()


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_clear_error(old, new, words, project, caplog):
    assert old in GOOD
    exit_code, error = validate(project(vip=GOOD.replace(old, new, 1)), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5, error
    assert max(map(len, error.splitlines())) < 500
    assert "defs/audiences/vip/defs.yaml" in error
    assert "Instead: " in error
    assert [word for word in words if word not in error] == [], error


def test_a_file_without_mistakes_is_valid(project, caplog):
    assert validate(project(vip=GOOD), caplog) == (0, "")


def other(text: str, **changes: str) -> str:
    """GOOD with the values of some fields changed."""
    for field, value in changes.items():
        text = re.sub(rf"\b{field}: .*", f"{field}: {value}", text, count=1)
    return text


IDENTIFIED = GOOD.replace(
    "audience_name: VIP customers", 'audience_name: VIP customers\n    audience_id: "1"'
)

# the file b beside the file a, and words that the error must hold
PAIRS = {
    "name": (GOOD, other(GOOD, audience_name="Others"), ["line 3", "name:", '"vip_customers"']),
    "audience name": (GOOD, other(GOOD, name="others"), ["line 14", "destination.audience_name", "sync_mode: add"]),
    "audience id": (IDENTIFIED, other(IDENTIFIED, name="others", audience_name="Others"), ["line 15", "destination.audience_id", "sync_mode: add"]),
    "name of an audience of known id": (IDENTIFIED, other(GOOD, name="others"), ["line 14", "destination.audience_name", "sync_mode: add"]),
    "audience id with another identifier type": (IDENTIFIED, other(IDENTIFIED, name="others", audience_name="Others").replace("type: email\n    column: email", "type: phone\n    column: email"), ["line 15", "destination.audience_id"]),
    "a mirror beside an add": (other(GOOD, sync_mode="add"), other(GOOD, name="others"), ["line 14", "destination.audience_name", "sync_mode: add"]),
}  # fmt: skip


@pytest.mark.parametrize(("a", "b", "words"), PAIRS.values(), ids=PAIRS.keys())
def test_two_files_of_one_audience_are_a_mistake(a, b, words, project, caplog):
    exit_code, error = validate(project(a=a, b=b), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5
    assert "b/defs.yaml, line" in error
    assert [word for word in [*words, "a/defs.yaml"] if word not in error] == [], error


# a file that may stand beside GOOD
NEIGHBOURS = {
    "another audience name": other(GOOD, name="others", audience_name="Others"),
    "another ad account": other(GOOD, name="others", ad_account_id="A10000000002"),
    "another identifier type": other(GOOD, name="others").replace(
        "type: email\n    column: email", "type: phone"
    ),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_two_files_of_two_audiences_are_valid(neighbour, project, caplog):
    assert validate(project(a=GOOD, b=neighbour), caplog) == (0, "")


def test_two_audience_ids_of_one_name_are_two_audiences(project, caplog):
    another = other(IDENTIFIED, name="others", audience_id='"2"')

    assert validate(project(a=IDENTIFIED, b=another), caplog) == (0, "")


def test_two_files_may_add_to_one_audience(project, caplog):
    both = {"a": other(GOOD, sync_mode="add"), "b": other(GOOD, sync_mode="add", name="others")}

    assert validate(project(**both), caplog) == (0, "")


# files of the defs folder beside or instead of an audience, and words that the error must hold
MISPLACED = {
    "defs.yml": ({"audiences/b/defs.yml": GOOD}, ["audiences/b/defs.yml", "is not read", "b/defs.yaml"]),
    "a name of its own": ({"audiences/vip.yaml": GOOD}, ["audiences/vip.yaml", "is not read", "audiences/vip/defs.yaml"]),
    "hidden by the folder above": ({"audiences/defs.yaml": other(GOOD, name="a"), "audiences/b/defs.yaml": GOOD}, ["audiences/b/defs.yaml", "no further than defs/audiences/defs.yaml"]),
    "hidden by one further above": ({"audiences/defs.yaml": other(GOOD, name="a"), "audiences/b/c/defs.yaml": GOOD}, ["audiences/b/c/defs.yaml", "no further than defs/audiences/defs.yaml"]),
}  # fmt: skip


@pytest.mark.parametrize(("files", "words"), MISPLACED.values(), ids=MISPLACED.keys())
def test_an_audience_file_that_dagster_would_not_read_is_a_mistake(files, words, project, caplog):
    exit_code, error = validate(project(others=files), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5
    assert [word for word in words if word not in error] == [], error


# files of other components, and of editors, that are none of ours
FILES_OF_OTHERS = {
    "notes.yaml": "type: x\n",
    "audiences/.backup/defs.yaml": GOOD.replace("email", "mail"),
    "others/defs.yaml": "type: .part.Part\nattributes:\n  text: !!str x\n",
    "others/part.py": "import dagster as dg\nclass Part(dg.Component, dg.Model, dg.Resolvable):\n    text: str\n"
    "    def build_defs(self, context):\n        return dg.Definitions()\n",
    "folder/defs.yaml": "type: dagster.DefsFolderComponent\n",
    "folder/below/defs.yaml": other(GOOD, name="below", audience_name="Below"),
}


def test_files_of_others_are_left_alone(project, caplog):
    assert validate(project(others=FILES_OF_OTHERS, vip=GOOD), caplog) == (0, "")


def test_a_mistake_of_another_component_is_reported_by_dagster(project, caplog):
    others = {"others/defs.yaml": "type: dagster.DefinitionsComponent\nattributes: {paths: x}\n"}
    exit_code, error = validate(project(others=others, vip=GOOD), caplog)

    assert exit_code == 1
    assert "Instead" not in error
    assert "paths" in error


WITHOUT_STORE = (
    "import dagster as dg\n"
    "from line_ads_pipeline.resources import LineAdsResource, WarehouseResource\n"
    "@dg.definitions\ndef resources():\n    return dg.Definitions(resources={'line_ads': LineAdsResource(), "
    "'warehouse': WarehouseResource(url='duckdb:///x.duckdb')})\n"
)
OWN_KINDS = (
    "import dagster as dg\n"
    "from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource\n"
    "class Mine(LineAdsResource):\n    pass\n"
    "@dg.resource\ndef warehouse():\n    return None\n"
    "@dg.definitions\ndef resources():\n    return dg.Definitions(resources={'line_ads': Mine(), "
    "'warehouse': warehouse, 'snapshots': SnapshotStoreResource(location='x')})\n"
)


def test_a_project_without_a_snapshot_store_is_a_mistake(project, caplog):
    exit_code, error = validate(project(others={"resources.py": WITHOUT_STORE}, vip=GOOD), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5
    assert '"snapshots" is not a resource of this project' in error
    assert "Instead: a SnapshotStoreResource" in error


def test_resources_may_be_subclasses_or_of_kinds_of_ones_own(project, caplog):
    assert validate(project(others={"resources.py": OWN_KINDS}, vip=GOOD), caplog) == (0, "")


def test_the_command_itself_prints_the_error(project, tmp_path):
    """The same through a process of its own, as a user types it."""
    module = project(vip=GOOD.replace("type: email", "type: mail"))
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", module],
        cwd=tmp_path / "root",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    printed = (done.stdout + done.stderr).split("Validation failed", 1)[1].split("Validation for 1", 1)[0]
    error = printed.partition("\n\n")[2].strip().rsplit("\n", 1)[0]
    assert "identifier.type" in error
    assert "Traceback" not in printed
    assert "Stack Trace" not in printed


def test_the_projects_own_definitions_are_valid(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)

    assert validate("line_ads_pipeline.definitions", caplog) == (0, "")


def test_workspace_and_pyproject_name_one_code_location():
    root = Path(__file__).parents[2]
    workspace = yaml.safe_load((root / "workspace.yaml").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["dg"]["project"]

    assert workspace == {"load_from": [{"python_module": project["code_location_target_module"]}]}
    assert project["code_location_name"] == project["code_location_target_module"]
