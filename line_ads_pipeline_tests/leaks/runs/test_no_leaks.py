"""Whatever becomes of a run, it leaves no raw identifier and no secret behind, and hashes in the store alone."""

import dataclasses
import hashlib
import re
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace

import polars as pl
import pytest

from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.simulator import Fault

EMAIL = "himitsukawa.taro@example.jp"
PHONE = "9027182845"
MEMBER = hashlib.sha256(EMAIL.encode()).hexdigest()

WAREHOUSE_THAT_STOPS = """
import os, time
from contextlib import contextmanager
from pathlib import Path
from line_ads_pipeline.warehouse import Warehouse


class Stopping(Warehouse):
    def scan(self, source, column):
        seen = 0

        def stop_late(batch):
            nonlocal seen
            seen += batch.height
            if seen > 300_000:
                Path(os.environ["STOPPED"]).touch()
                time.sleep(600)
            return batch

        return super().scan(source, column).map_batches(stop_late, streamable=True)


class StoppingResource(WarehouseResource):
    @contextmanager
    def open(self):
        with Stopping(self.url, root=Path(self.root)) as warehouse:
            yield warehouse
"""

LEAKING_WAREHOUSE = """
import logging
from contextlib import contextmanager


class LeakingResource(WarehouseResource):
    @contextmanager
    def open(self):
        logging.getLogger("of.a.driver").debug("reading %s", "０７０（１６１８）０３３９")
        with super().open() as warehouse:
            yield warehouse
"""
LEAKING_ASSETS = """
import base64
import os
import tempfile

import dagster as dg


@dg.asset
def leaking(context):
    context.log.info("calling +81 (0)90-2718-2845")
    print("signing with", os.environ["LINE_ADS_SECRET_KEY"])
    with open(os.path.join(tempfile.gettempdir(), "sample.txt"), "wb") as file:
        file.write("himitsukawa.ren at example".encode("utf-16"))
    sample = base64.b64encode(b"himitsukawa_hanako@example.co.jp").decode()
    return dg.MaterializeResult(metadata={"sample": {"rows": [sample]}})


@dg.asset(deps=[leaking])
def raising():
    raise ValueError("could not convert '+66 81 449 4897' to INT32")
"""


def as_email(table: str) -> dict:
    return {"source": {"query": f"SELECT value AS email FROM {table}"}}


@pytest.fixture(scope="module")
def emails_sent(surroundings, fill, emails):
    """The audience and the settings that come with the project."""
    with surroundings() as run:
        fill(
            run.warehouse,
            "CREATE SCHEMA marts",
            "CREATE TABLE marts.vip_customers AS SELECT value AS email, now() AS updated_at FROM people",
            people=[*emails, *emails, "", None],
        )
        date = datetime.now(UTC).date().isoformat()
        late = {"vip_customers__hashed_identifiers": {"config": {"allow_late_snapshot": True}}}
        command = run.start(
            "vip_customers", module="line_ads_pipeline.definitions", partition=date, config={"ops": late}
        )
        yield SimpleNamespace(run=run, result=command.finish())


@pytest.fixture(scope="module")
def phones_sent(surroundings, fill, phones, emails):
    """Phones in all spellings, files, and slips in audience files that do not make a run fail."""
    japanese = {"type": "phone", "default_country": "JP"}
    with surroundings() as run:
        quoted = ", ".join(f"'{value}'" for value in emails)
        fill(
            run.warehouse,
            f"CREATE TABLE kinds (email ENUM({quoted}), changed VARCHAR DEFAULT '{EMAIL}')",
            "INSERT INTO kinds (email) SELECT value FROM people",
            people=emails,
            numbers=phones,
        )
        pl.DataFrame({"phone": list(phones)}).write_csv(run.inputs / "phones.csv")
        pl.DataFrame({"email": list(emails)}, schema={"email": pl.Categorical}).write_parquet(
            run.inputs / "emails.parquet"
        )
        pl.DataFrame({"email": list(emails)}).write_ndjson(run.inputs / "emails.ndjson")
        run.project(
            phones={"source": {"query": "SELECT value AS phone FROM numbers"}, "identifier": japanese},
            phone_file={"source": {"path": "phones.csv"}, "identifier": japanese},
            email_file={"source": {"path": "emails.parquet"}},
            version_of_people={"source": {"table": "kinds", "updated_at": "changed"}},
            literal={"source": {"query": f"SELECT email FROM kinds WHERE email = '{EMAIL}' OR true"}},
            lists={
                "source": {
                    "query": "SELECT [value, 'opted.out@example.jp'] AS email FROM people",
                    "exclude": {
                        "query": f"SELECT email FROM (VALUES ('Opted.Out@example.jp'), ('{EMAIL}x')) t(email)"
                    },
                }
            },
            json_file={"source": {"path": "emails.ndjson"}},
        )
        names = ["phones", "phone_file", "email_file", "version_of_people", "literal", "lists", "json_file"]
        yield SimpleNamespace(run=run, result=run.start(*names).finish())


FAILING_SOURCES = {
    "cast": ({"source": {"query": "SELECT value::INTEGER AS email FROM people"}}, "TRY_CAST"),
    "late_cast": ({"source": {"table": "casting"}}, "TRY_CAST"),
    "while_hashing": (
        {
            "source": {"query": "SELECT number * 1000000000000 AS phone FROM numbers"},
            "identifier": {"type": "phone"},
        },
        "out of the range",
    ),
    "raised": ({"source": {"query": "SELECT error(value) AS email FROM people"}}, "Invalid Input error"),
    "bytes": ({"source": {"path": "bytes.csv"}}, "not UTF-8"),
    "quote": ({"source": {"path": "quote.csv"}}, "line 3: a quoted field is not closed"),
    "ragged": ({"source": {"path": "ragged.csv"}}, "line 3: it has more or fewer fields"),
    "headless": ({"source": {"path": "headless.csv"}}, "email"),
    "damaged": ({"source": {"path": "damaged.parquet"}}, "Polars"),
    "no_table": ({"source": {"table": "peple"}}, "no table or view peple"),
    "no_column": (
        {"source": {"table": "people"}, "identifier": {"type": "email", "column": "mail"}},
        "'mail'",
    ),
    "literal": (as_email(f"people WHERE mail = '{EMAIL}'"), "Binder error at line 1"),
    "open_literal": (as_email(f"people WHERE value = '{EMAIL}"), "Parser error"),
    "wrong_word": (as_email('people WHERE value = "himitsukawa.taro@example.jp"'), "Binder error"),
    "structs": ({"source": {"query": "SELECT {'mail': value} AS email FROM people"}}, "'email'"),
    "opt_outs": (
        {
            "source": {
                "query": "SELECT value AS email FROM people",
                "exclude": {"query": "SELECT 'no ' || value AS email FROM people"},
            }
        },
        "none of the",
    ),
    "broken_json": ({"source": {"path": "broken.ndjson"}}, "line 2"),
    "nobody": (as_email("people WHERE value LIKE '% at %'"), "no valid identifiers"),
}


@pytest.fixture(scope="module")
def sources_failed(surroundings, fill, emails):
    with surroundings() as run:
        fill(
            run.warehouse,
            "CREATE VIEW casting AS SELECT i::VARCHAR::INTEGER AS email FROM range(200000) t(i) "
            "UNION ALL SELECT value::INTEGER FROM people",
            f"CREATE TABLE numbers AS SELECT CASE i WHEN 250000 THEN {PHONE} ELSE 1 END::BIGINT AS number "
            "FROM range(300000) t(i)",
            people=emails,
        )
        (run.inputs / "bytes.csv").write_bytes(f"id,email\n1,a@b.jp\n2,{EMAIL}\xff\n".encode("latin-1"))
        (run.inputs / "quote.csv").write_text(f'id,email\n1,a@b.jp\n2,"{EMAIL}\n3,{EMAIL}\n')
        (run.inputs / "ragged.csv").write_text(f"id,email\n1,a@b.jp\n{EMAIL},{EMAIL},{PHONE}\n")
        (run.inputs / "headless.csv").write_text("\n".join(emails) + "\n")
        (run.inputs / "broken.ndjson").write_text(f'{{"email": "a@b.jp"}}\n{{"email": "{EMAIL}}}\n')
        pl.DataFrame({"email": [EMAIL] * 1000 + list(emails)}).write_parquet(
            run.inputs / "damaged.parquet", compression="uncompressed", statistics=False
        )
        intact = (run.inputs / "damaged.parquet").read_bytes()
        damaged = intact.replace(b"himitsukawa", b"himitsuka\xff\xfe")
        assert damaged != intact
        (run.inputs / "damaged.parquet").write_bytes(damaged)
        run.project(**{name: audience for name, (audience, _) in FAILING_SOURCES.items()})
        yield SimpleNamespace(run=run, result=run.start(*FAILING_SOURCES).finish())


@pytest.fixture(scope="module")
def uploads_failed(surroundings, fill, emails, secret_key):
    """LINE rejects a file, and answers another with a page that quotes it."""
    page = f"<html>{EMAIL} {MEMBER} {PHONE} {secret_key}</html>"
    with surroundings() as run:
        fill(run.warehouse, people=emails)
        run.project(
            rejected=as_email("people"),
            unreadable={**as_email("people"), "destination": {"sync_mode": "add"}},
        )
        run.simulator.inject(
            Fault(
                call="upload",
                action="REPLACE",
                times=None,
                status=400,
                reasons=("INVALID_FILE_CONTENT", EMAIL, f"LINE_1_IS_{MEMBER}", MEMBER.upper()),
            ),
            Fault(call="upload", action="ADD", times=None, status=202, body=page),
        )
        yield SimpleNamespace(run=run, result=run.start("rejected", "unreadable").finish())


@pytest.fixture(scope="module")
def keys_refused(surroundings, fill, emails):
    with surroundings(secret_key="another") as run:
        fill(run.warehouse, people=emails)
        run.project(people=as_email("people"))
        yield SimpleNamespace(run=run, result=run.start("people").finish())


@pytest.fixture(scope="module")
def killed_while_hashing(surroundings, fill, emails):
    with surroundings() as run:
        fill(
            run.warehouse,
            "CREATE TABLE many AS SELECT concat('himitsukawa', i, '@example.jp') AS email FROM range(400000) t(i) "
            "UNION ALL SELECT value FROM people",
            people=emails,
        )
        stopped = run.root / "stopped"
        run.environment["STOPPED"] = str(stopped)
        run.project(
            code=WAREHOUSE_THAT_STOPS, warehouse="StoppingResource", people={"source": {"table": "many"}}
        )
        run.start("people").kill_when(stopped.exists)
        yield SimpleNamespace(run=run)


@pytest.fixture(scope="module")
def killed_while_uploading(surroundings, fill, emails):
    """Killed, and started again, when LINE gives up on the file and quotes it as the reason."""
    with surroundings() as run:
        fill(run.warehouse, people=emails)
        run.project(people=as_email("people"))
        run.simulator.inject(Fault(call="upload", delay_seconds=600))
        run.start("people").kill_when(lambda: any(request.fault for request in run.simulator.requests))
        killed = sorted(file.name for file in run.store.rglob("*") if file.is_file())
        run.simulator.inject(Fault(call="upload", times=None, job_failed_type=f"INVALID: {EMAIL} {MEMBER}"))
        yield SimpleNamespace(run=run, killed=killed, result=run.start("people").finish())


@pytest.fixture(scope="module")
def guardrails_stopped(surroundings, fill, emails, secret_key):
    """Synced, and started again after most people have left and somebody else has sent a file named after one."""
    with surroundings() as run:
        fill(run.warehouse, people=emails)
        run.project(people=as_email("people"))
        synced, output = run.start("people").finish()
        assert synced == 0, output[-5000:]
        fill(run.warehouse, f"DELETE FROM people WHERE lower(value) <> '{EMAIL}'")
        [audience] = run.simulator.audiences()
        with LineAdsClient(
            access_key=run.access_key, secret_key=secret_key, base_url=run.simulator.base_url
        ) as client:
            client.upload(
                "A10000000001",
                action="ADD",
                id_type="HASHED_EMAIL",
                file=BytesIO(f"{MEMBER}\n".encode()),
                file_name=f"{EMAIL} {PHONE}.txt",
                audience_id=audience.id,
            )
        yield SimpleNamespace(run=run, result=run.start("people").finish())


@pytest.fixture(scope="module")
def coordination_away(surroundings, fill, emails, secret_key):
    """The URL of the coordination database holds a password, and nobody answers there."""
    with surroundings() as run:
        fill(run.warehouse, people=emails)
        run.project(people=as_email("people"))
        run.environment["LINE_ADS_COORDINATION_URL"] = f"postgresql://leases:{secret_key}@127.0.0.1:1/leases"
        yield SimpleNamespace(run=run, result=run.start("people").finish())


RUNS = (
    "emails_sent",
    "phones_sent",
    "sources_failed",
    "uploads_failed",
    "keys_refused",
    "killed_while_hashing",
    "killed_while_uploading",
    "guardrails_stopped",
    "coordination_away",
)


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    return request.getfixturevalue(request.param).run


@pytest.fixture(scope="module")
def findings(run, find_people_and_secrets, find_members):
    """What either search finds in what a run left, found in one pass."""
    both = dataclasses.replace(
        find_people_and_secrets,
        words={**find_people_and_secrets.words, **find_members.words},
        digests={**find_people_and_secrets.digests, **find_members.digests},
    )
    return both(run.left)


def test_no_raw_identifier_and_no_secret_is_left(findings):
    assert [finding for finding in findings if not finding.startswith("a member's hash")] == []


def test_hashes_are_in_the_store_alone(findings):
    hashes = [finding for finding in findings if finding.startswith("a member's hash")]

    assert [finding for finding in hashes if ": store/" not in finding] == []


def test_the_access_key_is_left_nowhere(run, find_people_and_secrets):
    """Not even where the request rate of each access key is kept."""
    searching = dataclasses.replace(
        find_people_and_secrets, words={"the access key": run.access_key}, numbers=(), digests={}
    )

    assert searching(run.left) == []


def test_nothing_is_written_beside_the_segments(run):
    """DuckDB would spill into a folder beside its file."""
    assert {file.name for file in run.inputs.iterdir()} == run.listing


def test_the_coordination_database_was_searched(emails_sent, find_members):
    """It knows an access key by its digest alone."""
    digest = hashlib.sha256(f"requests {emails_sent.run.access_key}".encode()).hexdigest()
    searching = dataclasses.replace(find_members, words={"the rate of a key": digest})

    places = searching(emails_sent.run.left)

    assert "the rate of a key: data/coordination.sqlite > line_ads_paces.key_digest" in places


def test_the_results_of_checks_were_searched(guardrails_stopped, find_members):
    checks = dataclasses.replace(find_members, words={"a check": "1 upload from elsewhere"})

    places = checks(guardrails_stopped.run.left)

    assert any(place.startswith("a check: dagster_home/history/runs/") for place in places)


def test_what_was_written_was_searched(emails_sent, find_members):
    """The same search finds the hashes in the store, and harmless words in the databases, their logs and the output."""
    metadata, step = "skipped_not_an_email_address", "ASSET_MATERIALIZATION"
    searching = dataclasses.replace(
        find_members, words={metadata: metadata.casefold(), step: step.casefold()}
    )

    places = searching(emails_sent.run.left)

    assert any(place.startswith("a member's hash: store/snapshots/vip_customers/") for place in places)
    storage = "working_directory/data/dagster"
    assert f"{metadata}: {storage}/history/runs/index.db > event_logs.event" in places
    assert f"{step}: stderr" in places
    assert any(place.startswith(f"{step}: {storage}/logs/") for place in places)


def test_the_e_mails_arrived(emails_sent, emails):
    code, output = emails_sent.result

    assert code == 0, output[-5000:]
    [audience] = emails_sent.run.simulator.audiences()
    assert emails_sent.run.simulator.members(audience.id) == hashed(emails)


def test_the_phones_arrived(phones_sent, phones, emails):
    code, output = phones_sent.result

    assert code == 0, output[-5000:]
    simulator = phones_sent.run.simulator
    arrived = {audience.name: simulator.members(audience.id) for audience in simulator.audiences()}
    assert arrived == {
        "phones": hashed(phones),
        "phone_file": hashed(phones),
        "email_file": hashed(emails),
        "version_of_people": hashed(emails),
        "literal": hashed(emails),
        "lists": hashed(emails),
        "json_file": hashed(emails),
    }


def hashed(people):
    return {hashlib.sha256(value.encode()).hexdigest() for value in people.values() if value}


@pytest.mark.parametrize(
    ("name", "words"), [(name, words) for name, (_, words) in FAILING_SOURCES.items()], ids=FAILING_SOURCES
)
def test_a_source_failed_for_its_own_reason(sources_failed, name, words):
    code, output = sources_failed.result

    assert code == 1
    assert words in failures(output)[name]
    assert "unexpected" not in failures(output)[name]


def test_nothing_of_failed_sources_arrived(sources_failed):
    assert sources_failed.run.simulator.audiences() == ()


def test_uploads_failed_for_their_own_reasons(uploads_failed):
    code, output = uploads_failed.result

    assert code == 1
    assert "LINE rejected the file" in failures(output)["rejected"]
    assert "INVALID_FILE_CONTENT" in failures(output)["rejected"]
    assert "sent 5 times without a clear answer" in failures(output)["unreadable"]


def test_keys_were_refused(keys_refused):
    code, output = keys_refused.result

    assert code == 1
    assert "authentication failed" in failures(output)["people"]


def test_hashing_was_killed_in_its_middle(killed_while_hashing):
    documents = {file.parent.name for file in killed_while_hashing.run.store.rglob("*.json")}

    assert documents == {"segments"}
    assert list(killed_while_hashing.run.store.glob("snapshots/*/*")) == []


def test_the_upload_was_killed_in_its_middle_and_failed_again(killed_while_uploading):
    code, output = killed_while_uploading.result

    assert "current_sync.json" in killed_while_uploading.killed
    assert "confirmed.json" not in killed_while_uploading.killed
    assert code == 1
    assert "LINE failed to process chunk 1 of 1" in failures(output)["people"]


def test_guardrails_stopped_for_their_own_reasons(guardrails_stopped):
    code, output = guardrails_stopped.result

    assert code == 1
    assert "max_shrink: Was 5" in failures(output)["people"]
    assert "foreign_uploads: 1 upload from elsewhere" in failures(output)["people"]


def test_the_coordination_database_was_away(coordination_away):
    code, output = coordination_away.result

    assert code == 1
    assert "LINE_ADS_COORDINATION_URL" in failures(output)["people"]
    assert coordination_away.run.simulator.audiences() == ()


def failures(output: str) -> dict[str, str]:
    """What the steps of each audience failed with."""
    marked = [line.partition("dagster._core.definitions.events.Failure: ")[2] for line in output.splitlines()]
    return {line.partition(": ")[0]: line for line in marked if line}


LEAKED = {
    "the compute log": ("the secret key", r"dagster_home/storage/\S+\.out"),
    "a temporary file": ("an e-mail address", r"tmp/sample\.txt > utf-16-le"),
    "metadata": ("an e-mail address", r"dagster_home/\S+/index\.db > event_logs\.event > .*base64"),
    "a message of the step": ("a phone number, 9027182845", r"dagster_home/\S+\.db > event_logs\.event"),
    "a message of a library": (
        "a phone number, 7016180339",
        r"dagster_home/\S+\.db > event_logs\.event > escapes",
    ),
    "an exception": ("a phone number, 814494897", r"dagster_home/\S+\.db > event_logs\.event"),
    "an exception as it was printed": ("a phone number, 814494897", r"stderr|dagster_home/\S+\.err"),
}


@pytest.fixture(scope="module")
def planted(surroundings, fill, emails, find_people_and_secrets):
    """What is found after a run of assets and a warehouse that leak."""
    with surroundings() as run:
        fill(run.warehouse, people=emails)
        run.project(
            code=LEAKING_WAREHOUSE,
            warehouse="LeakingResource",
            assets=LEAKING_ASSETS,
            people=as_email("people"),
        )
        code, output = run.start("people", also='+key:"raising"').finish()
    assert code == 1, output[-5000:]
    return find_people_and_secrets(run.left)


@pytest.mark.parametrize(("what", "place"), LEAKED.values(), ids=LEAKED)
def test_a_leak_in_a_run_is_found(planted, what, place):
    assert any(re.fullmatch(f"{what}: (?:{place})", finding) for finding in planted)
