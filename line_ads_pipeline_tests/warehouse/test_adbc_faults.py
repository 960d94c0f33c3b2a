"""What a driver's message tells, and that a word it merely mentions tells nothing."""

import pytest

from line_ads_pipeline.warehouse.adbc_faults import DatabaseFault


class DriverError(Exception):
    def __init__(self, message, *, sqlstate=None, status="IO"):
        super().__init__(message)
        self.sqlstate = sqlstate
        self.status_code = type("Status", (), {"name": status})


LIBPQ = "IO: [libpq] Failed to connect: "
SERVER = LIBPQ + 'connection to server at "tls.example", port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (LIBPQ + 'invalid URI query parameter: "connect_timeoutx"\n', "url"),
        (LIBPQ + 'invalid connection option "SSL_connect timed out"\n', "url"),
        (SERVER + 'invalid integer value "abc" for connection option "connect_timeout"\n', "url"),
        (LIBPQ + 'invalid sslmode value: "zz"\n', "url"),
        (SERVER + 'FATAL:  unrecognized configuration parameter "statement_timeout"\n', "url"),
        (LIBPQ + 'invalid percent-encoded token: "timed out%zz"\n', "url"),
        (
            LIBPQ + 'could not translate host name "certificate" to address: Name or service not known\n',
            "address",
        ),
        (SERVER + "Connection refused\n\tIs the server running on that host?\n", "refused"),
        (SERVER + "Connection timed out\n", "slow"),
        (SERVER + "timeout expired\n", "slow"),
        (SERVER + 'FATAL:  password authentication failed for user "SSL"\n', "access"),
        (SERVER + 'FATAL:  role "TLS" does not exist\n', "access"),
        (SERVER + 'FATAL:  database "credentials" does not exist\n', "no database"),
        (SERVER + "FATAL:  the database system is in recovery mode\n", "starting"),
        (SERVER + "SSL error: certificate verify failed\n", "tls"),
        (SERVER + 'server certificate for "a" does not match host name "b"\n', "tls"),
        (SERVER + 'root certificate file "/x" does not exist\n', "tls"),
        (SERVER + "server does not support SSL, but SSL was required\n", "tls"),
        ('Get "https://x": tls: failed to verify certificate: x509: unknown authority', "tls"),
        ('column "credentials" missing', "other"),
        ("column credentials missing", "other"),
        ('relation "a" of TLS', "other"),
        ("relation TLS has no certificate", "other"),
        ("the recovery of timeout", "other"),
        ("[SQLite] Failed to prepare query: no such table: timed out\nquery: SELECT 'x509: '", "names"),
        ("[SQLite] Failed to prepare query: near \"TLS\": syntax error\nquery: SELECT 'timed out'", "query"),
        ("Failed to step query: malformed JSON", "other"),
        ("Failed to step query: database disk image is malformed", "not a database"),
        ("malformed database schema (people)", "not a database"),
        ("bigquery: credentials: could not find default credentials. See https://x", "access"),
        ('oauth2: "invalid_grant" "Invalid JWT Signature."', "access"),
        ("[Snowflake] 390144 (08004): JWT token is invalid", "access"),
        ("the number 390144 is too large", "other"),
    ],
)
def test_a_message_tells_its_kind(message, kind):
    assert DatabaseFault.of(DriverError(message)).kind == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DriverError("timed out", sqlstate="42501", status="TIMEOUT"), "permission"),
        (DriverError("Connection refused", status="NOT_FOUND"), "refused"),
        (DriverError("timed out", status="UNKNOWN", sqlstate="00000"), "slow"),
        (DriverError("Dataset x", status="NOT_FOUND"), "names"),
        (DriverError("no", status="UNAUTHENTICATED"), "access"),
        (DriverError("no", status="TIMEOUT"), "cancelled"),
        (UnicodeError("no"), "encoding"),
        (KeyError("no"), "other"),
    ],
    ids=["SQLSTATE", "message", "SQLSTATE of success", *["status"] * 3, "class", "nothing"],
)
def test_the_sqlstate_goes_before_the_message_and_that_before_the_status(error, kind):
    assert DatabaseFault.of(error).kind == kind
