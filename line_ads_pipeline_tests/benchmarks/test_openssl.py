"""What `openssl speed` tells, in its machine-readable form."""

import pytest

from benchmarks.openssl import bytes_per_second, hash_rate, openssl_version

ONE_PROCESS = "+H:24\n+F:25:sha256:75612320.00\n"
TWO_PROCESSES = """\
Forked child 0
Forked child 1
Got: +H:24 from 0
Got: +F:25:sha256:21297670.59 from 0
Got: +H:24 from 1
Got: +F:25:sha256:24181330.69 from 1
+F:25:sha256:45479001.28
"""


@pytest.mark.parametrize(
    ("told", "rate"),
    [(ONE_PROCESS, 75612320.00), (TWO_PROCESSES, 45479001.28)],
    ids=["one process", "two processes"],
)
def test_the_rate_of_all_processes_is_read(told, rate):
    assert bytes_per_second(told) == rate


@pytest.mark.parametrize("told", ["", "+H:24\n", "Got: +F:25:sha256:1.0 from 0\n", "+F:25:sha512:1.0\n"])
def test_no_rate_is_an_error(told):
    with pytest.raises(ValueError, match="told no rate"):
        bytes_per_second(told)


def test_without_openssl_no_limit_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert openssl_version() == "no openssl"
    assert hash_rate(input_bytes=24, processes=1, seconds=1, rounds=1) is None


def test_the_rate_is_of_digests_and_the_median_of_the_rounds(monkeypatch, tmp_path):
    script = tmp_path / "openssl"
    script.write_text(
        f"""#!/bin/sh
        case "$1" in version) echo "OpenSSL 9.9 1 Jan 2030 (Library: OpenSSL 9.9)"; exit;; esac
        [ "$*" = "speed -mr -seconds 3 -bytes 24 -multi 2 -evp sha256" ] || exit 1
        echo . >> "{tmp_path}/runs"
        case $(/usr/bin/env cat "{tmp_path}/runs" | /usr/bin/env wc -l) in
            *1) rate=9600;; *2) rate=2400;; *) rate=4800;;
        esac
        echo "+F:25:sha256:$rate.00"
        """
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert openssl_version() == "OpenSSL 9.9"
    assert hash_rate(input_bytes=24, processes=2, seconds=3, rounds=3) == 200


def test_an_openssl_without_these_options_tells_no_limit(monkeypatch, tmp_path):
    script = tmp_path / "openssl"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert hash_rate(input_bytes=24, processes=1, seconds=1, rounds=1) is None
