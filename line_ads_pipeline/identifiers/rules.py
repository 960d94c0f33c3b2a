"""The rules an audience chooses for its identifiers: the `identifier` block of an audience file."""

from dataclasses import dataclass
from typing import Literal

import phonenumbers

SHA256_BYTES = 32
IFA_BYTES = 36


@dataclass(frozen=True)
class EmailRules:
    """How e-mail addresses are read; they are always sent as SHA-256.

    Attributes:
        strict_line_characters: Also skip addresses with signs that LINE's manual for raw uploads does not list.
    """

    strict_line_characters: bool = False

    @property
    def record_width(self) -> int:
        """Bytes of one identifier."""
        return SHA256_BYTES


@dataclass(frozen=True)
class PhoneRules:
    """How phone numbers are read; they are always sent as SHA-256.

    Attributes:
        default_country: ISO 3166 country of the numbers that name none, such as `JP`.
        phone_format: Which digits are hashed: those of E.164 without `+` (`international`), those dialled inside
            the number's own country (`national`), or the digits as they stand (`as_given`, which neither
            interprets nor validates them, so the two other fields have no say).
        phone_validation: `valid` skips what `phonenumbers.is_valid_number` refuses; `possible` checks lengths
            only, for numbering plans newer than the installed `phonenumbers`.

    Raises:
        ValueError: `default_country` is not a country that `phonenumbers` knows.
    """

    default_country: str | None = None
    phone_format: Literal["international", "national", "as_given"] = "international"
    phone_validation: Literal["valid", "possible"] = "valid"

    def __post_init__(self) -> None:
        country = self.default_country
        if country is None or country in phonenumbers.SUPPORTED_REGIONS:
            return
        raise ValueError(
            f"default_country {country!r} is not a known country: write its ISO 3166 code, "
            "two capital letters such as JP, TW, TH or ID"
        )

    @property
    def record_width(self) -> int:
        """Bytes of one identifier."""
        return SHA256_BYTES


@dataclass(frozen=True)
class IfaRules:
    """How mobile ad ids (IDFA, AAID) are read; LINE takes them unhashed.

    Attributes:
        ifa_case: Whether the letters of an id are kept as given or changed to one case.
        hash_ifa: Lower-case and hash them all the same, for those whose LINE contact asks for it.

    Raises:
        ValueError: `hash_ifa` together with upper case.
    """

    ifa_case: Literal["preserve", "lower", "upper"] = "preserve"
    hash_ifa: bool = False

    def __post_init__(self) -> None:
        if self.hash_ifa and self.ifa_case == "upper":
            raise ValueError(
                "ifa_case upper has no effect with hash_ifa, which hashes lower case: leave one of them out"
            )

    @property
    def record_width(self) -> int:
        """Bytes of one identifier."""
        return SHA256_BYTES if self.hash_ifa else IFA_BYTES


Rules = EmailRules | PhoneRules | IfaRules
"""The rules of one audience, by its identifier type."""
