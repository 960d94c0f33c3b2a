"""Made-up customers with the mess of real tables, and what a pipeline has to make of each.

Nobody is behind them: the domains are those kept for examples (RFC 2606; example.jp and example.co.jp are JPRS's),
the phone numbers are the placeholders of each country with other last digits, made up and never called. Whoever
writes an address down knows its clean form, so the expected hash needs no rule of the pipeline: it is `hashlib`'s.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Final

from faker import Faker

Spell = Callable[[str, Random], str]

DUPLICATE_SHARE: Final = 0.05
"""Of the rows: customers who are there already, with their address in some other spelling."""

_NEWEST: Final = datetime(2026, 1, 1)  # noqa: DTZ001 - a column without zone, as most warehouses have
_NAMES: Final = 400
_FULL_WIDTH: Final = str.maketrans({code: code + 0xFEE0 for code in range(0x21, 0x7F)})
_FULL_WIDTH_DIGITS: Final = str.maketrans("0123456789", "０１２３４５６７８９")  # noqa: RUF001 - what Japanese keyboards type


@dataclass(frozen=True, slots=True)
class Customer:
    """A row of the table, and what it has to become.

    Attributes:
        customer_id: From 1.
        name: In the script of the country.
        country: ISO 3166.
        email: As someone typed it.
        phone: As someone typed it.
        orders: Three or more.
        updated_at: UTC, without a zone.
        kind: Of the e-mail's mess, a key of `SPELLINGS` or `JUNK`.
        outcome: What the pipeline has to call the row.
        identifier: The SHA-256 that LINE has to get, as hex; None when the row has to be skipped.
    """

    customer_id: int
    name: str
    country: str
    email: str | None
    phone: str | None
    orders: int
    updated_at: datetime
    kind: str
    outcome: str
    identifier: str | None


@dataclass(frozen=True)
class _Country:
    """Where customers live.

    Attributes:
        code: ISO 3166.
        share: Of the customers.
        locale: Of names in the country's script.
        latin: The locale that gives names for addresses, and the method of Faker that does.
        domains: Of e-mail addresses.
        phone: The placeholder number of the country as it is written there, and its calling code.
    """

    code: str
    share: int
    locale: str
    latin: tuple[str, str]
    domains: tuple[str, ...]
    phone: tuple[str, str]


_COUNTRIES: Final = (
    _Country("JP", 50, "ja_JP", ("ja_JP", "romanized_name"), ("example.jp", "mail.example.co.jp", "tokyo.example"), ("090-1234-5678", "81")),
    _Country("TH", 20, "th_TH", ("en_TH", "name"), ("example.com", "bangkok.example"), ("081-234-5678", "66")),
    _Country("TW", 20, "zh_TW", ("zh_TW", "romanized_name"), ("example.net", "taipei.example"), ("0912-345-678", "886")),
    _Country("ID", 10, "id_ID", ("id_ID", "name"), ("example.org", "jakarta.example"), ("0812-345-678", "62")),
)  # fmt: skip


def _mixed_case(text: str, random: Random) -> str:
    styles = (
        str.upper,
        str.title,
        str.capitalize,
        lambda given: given.replace("@e", "@E", 1).replace("@t", "@T", 1).swapcase(),
    )
    return random.choice(styles)(text)


def _between(*surroundings: tuple[str, str]) -> Spell:
    def spell(text: str, random: Random) -> str:
        before, behind = random.choice(surroundings)
        return f"{before}{text}{behind}"

    return spell


def sha256_hex(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, as lower-case hex."""
    return hashlib.sha256(text.encode()).hexdigest()


SPELLINGS: Final[Mapping[str, tuple[int, Spell]]] = MappingProxyType(
    {
        "clean": (600, lambda text, _: text),
        "mixed case": (100, _mixed_case),
        "spaces around": (50, _between((" ", ""), ("", " "), ("  ", "\t"), ("", "\r\n"), ("\xa0", "\xa0"))),
        "full-width spaces around": (25, _between(("\u3000", ""), ("", "\u3000"), ("\u3000", "\u3000 "))),
        "invisible marks around": (5, _between(("\ufeff", ""), ("", "\u200b"), ("\u200e", ""))),
        "full-width digits": (15, lambda text, _: text.translate(_FULL_WIDTH_DIGITS)),
        "full-width letters": (15, lambda text, _: text.translate(_FULL_WIDTH)),
        "hashed already": (40, lambda text, _: sha256_hex(text)),
        "hashed already, in capitals": (20, lambda text, _: sha256_hex(text).upper()),
    }
)
"""Ways to write an address that mean the same address, each with its weight."""

JUNK: Final[Mapping[str, tuple[str, int, tuple[str | None, ...]]]] = MappingProxyType(
    {
        "NULL": ("null", 40, (None,)),
        "blank": ("blank", 25, ("", " ", "   ", "\u3000", "\t")),
        "placeholder": ("not_an_email_address", 15, ("-", "n/a", "N/A", "none", "unknown", "なし", "ไม่มี", "無", "tidak ada")),
        "no @": ("not_an_email_address", 10, ("{local}", "{local}.{domain}", "{local}(at){domain}")),
        "malformed": (
            "not_an_email_address",
            15,
            ("{local}@", "@{domain}", "{local}@localhost", "{local}@@{domain}", "{local}@example..com", "{local} @{domain}",
             ".{local}@{domain}", "{local}@{domain}; info@example.com", "<{local}@{domain}>"),
        ),
        "not ASCII": ("non_ascii", 5, ("山田.{local}@{domain}", "{local}é@{domain}")),
        "too long": ("too_long", 2, (f"{{local}}{'.x' * 60}@{{domain}}",)),
        "MD5": ("unknown_hash", 15, ("{md5}",)),
        "hash of nothing": ("hash_of_empty_string", 8, (sha256_hex(""),)),
    }
)  # fmt: skip
"""What is no address: by kind, the outcome it must have, its weight, and patterns to fill."""


def make_customers(count: int, *, seed: int = 20260101) -> Iterator[Customer]:
    """Make customers, the same ones for the same seed.

    Args:
        count: How many; with 10,000 and more every kind of mess is there for certain.
        seed: Of everything random.
    """
    random = Random(seed)  # noqa: S311 - to be repeatable is the point
    people = {country.code: _People(country, seed) for country in _COUNTRIES}
    countries = random.choices(_COUNTRIES, [country.share for country in _COUNTRIES], k=count)
    weights = [weight for weight, _ in SPELLINGS.values()] + [weight for _, weight, _ in JUNK.values()]
    kinds = random.choices([*SPELLINGS, *JUNK], weights, k=count)
    known: list[str] = []
    for customer_id, (country, kind) in enumerate(zip(countries, kinds, strict=True), 1):
        local, domain = people[country.code].address(random)
        email: str | None
        if kind in JUNK:
            outcome, _, patterns = JUNK[kind]
            pattern = random.choice(patterns)
            md5 = hashlib.md5(local.encode(), usedforsecurity=False).hexdigest()
            email = pattern and pattern.format(local=local, domain=domain, md5=md5)
            identifier = None
        else:
            address = f"{local}@{domain}"
            if known and random.random() < DUPLICATE_SHARE:
                address = random.choice(known)
            known.append(address)
            email = SPELLINGS[kind][1](address, random)
            outcome = "already_hashed" if kind.startswith("hashed") else "hashed"
            identifier = sha256_hex(address)
        yield Customer(
            customer_id=customer_id,
            name=random.choice(people[country.code].names),
            country=country.code,
            email=email,
            phone=_phone(country, random),
            orders=3 + min(int(random.expovariate(0.25)), 200),
            updated_at=_NEWEST - timedelta(seconds=random.randrange(365 * 86_400)),
            kind=kind,
            outcome=outcome,
            identifier=identifier,
        )


class _People:
    """Names of one country: some hundreds by Faker, which is too slow to be asked for each row."""

    def __init__(self, country: _Country, seed: int) -> None:
        native, latin = Faker(country.locale), Faker(country.latin[0])
        native.seed_instance(seed)
        latin.seed_instance(seed)
        self.names = [native.name() for _ in range(_NAMES)]
        latin_names = [getattr(latin, country.latin[1])() for _ in range(_NAMES)]
        self._words = [_words(name) for name in latin_names]
        self._domains = country.domains

    def address(self, random: Random) -> tuple[str, str]:
        """The part before the `@` and the domain."""
        given, family = random.choice(self._words)[0], random.choice(self._words)[-1]
        joined = random.choice(
            (f"{given}.{family}", f"{given}_{family}", f"{family}-{given}", f"{given[0]}{family}", given)
        )
        return f"{joined}{random.randrange(10, 100_000)}", random.choice(self._domains)


def _words(name: str) -> list[str]:
    """The parts of a name that can stand in an address, without titles and degrees."""
    words = ["".join(filter(str.isalpha, word)).lower() for word in name.partition(",")[0].split()]
    return [word for word in words if word.isascii() and len(word) > 1][-2:] or ["customer"]


def _phone(country: _Country, random: Random) -> str | None:
    placeholder, calling_code = country.phone
    number = (
        f"{placeholder[:-4]}{random.randrange(10_000):04}"
        if placeholder[-5] == "-"
        else f"{placeholder[:-3]}{random.randrange(1000):03}"
    )
    spellings = (
        number,
        number.replace("-", ""),
        f"+{calling_code} {number[1:]}",
        f"+{calling_code}(0){number[1:]}",
        number.translate(_FULL_WIDTH),
        f" {number.replace('-', ' ')}",
        "",
        None,
    )
    return random.choices(spellings, (40, 20, 15, 5, 8, 5, 3, 4))[0]
