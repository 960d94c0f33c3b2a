"""The vectorised phone rules and the `phonenumbers` library give the same answers."""

import re
from collections.abc import Iterator

import phonenumbers
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from line_ads_pipeline.identifiers import PhoneRules
from line_ads_pipeline.identifiers.identify import normalise
from line_ads_pipeline.identifiers.numbering_plans import PLAN_COUNTRIES, conceivable_number, numbering_plan
from line_ads_pipeline.identifiers.phone_library import read_number

OTHER_COUNTRIES = ("US", "GB", "KR", "CN", "HK", "SG", "VN", "DE", "IT", "BR", "AR", "MX", "RU", "AU")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
EXIT_CODES = {
    "JP": ["010"],
    "TW": ["002", "005", "006", "007", "009", "019"],
    "TH": [f"00{digit}" for digit in range(1, 10)],
    "ID": ["008", "009"],
}


def read(texts, rules):
    frame = pl.LazyFrame({"phone": pl.Series(texts, dtype=pl.String)})
    return normalise(frame, "phone", rules).collect().rows()


def e164(number):
    return phonenumbers.format_number(number, PhoneNumberFormat.E164).removeprefix("+")


def valid_number(text, country=None):
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None


def examples(country):
    numbers = (phonenumbers.example_number_for_type(country, kind) for kind in PhoneNumberType.values())
    return [number for number in numbers if number]


def ways_of_writing(number: PhoneNumber, country: str, exit_codes=EXIT_CODES) -> Iterator[tuple[str, str]]:
    """Each usual way to write a number, as `(text, the digits it means)`."""
    code, subscriber = str(number.country_code), phonenumbers.national_significant_number(number)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    international = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    groups = international.removeprefix(f"+{code} ")
    trunk = phonenumbers.ndd_prefix_for_region(country, True) or ""
    at_home = [
        national,
        re.sub(r"\D", "", national),
        re.sub(r"\D+", " ", national),
        re.sub(r"\D+", ".", national.strip("()")),
        re.sub(r"\D+", "-", national.strip("()")),
        re.sub(r"^\(?(\d+)\)?\D?", r"(\1) ", national),
        re.sub(r"^\(?(\d+)\)?\D?", r"(\1)", national),
        f"tel:{national}",
        f" {national}\t",
        f"\u202a{national}\u202c",
        national.replace("-", "\u2010"),
        national.replace("-", "\u30fc").replace(" ", "\xa0"),
        national.translate(FULL_WIDTH),
        subscriber,
    ]
    marked = [
        international,
        f"+{code}{subscriber}",
        phonenumbers.format_number(number, PhoneNumberFormat.RFC3966),
        international.translate(FULL_WIDTH),
        re.sub(r"\D+", ".", international).replace(".", "+", 1),
        f"(+{code}) {groups}",
        f"+({code}) {groups}",
        f"+{code}-{groups}",
        f"+{code}/{groups}",
    ]
    if trunk == "0":
        marked += [f"+{code}({trunk}){groups}", f"+{code} ({trunk}) {groups}", f"+{code} {trunk}{groups}"]
    yield from ((text, e164(number)) for text in marked)
    for text in at_home:
        digits = re.sub(r"\D", "", phonenumbers.normalize_digits_only(text))
        yield text, e164(valid_number(digits, country) or number)
    for prefix in ("00", *exit_codes.get(country, [])):
        for text in (f"{prefix}{code}{subscriber}", f"{prefix} {code} {groups}", f"{prefix}-{code}-{groups}"):
            digits = re.sub(r"\D", "", text)
            zeros = valid_number("+" + digits[2:]) if digits.startswith("00") else None
            yield text, e164(zeros or number)
    for text in (f"{code}{subscriber}", f"{code} {groups}", f"{code}-{groups}"):
        yield text, e164(valid_number(code + subscriber, country) or number)


@pytest.mark.parametrize("country", PLAN_COUNTRIES + OTHER_COUNTRIES)
def test_example_numbers_in_every_usual_way_of_writing_them(country):
    pairs = [pair for number in examples(country) for pair in ways_of_writing(number, country)]
    answers = read([text for text, _ in pairs], PhoneRules(default_country=country))
    wrong = [(text, meant, got) for (text, meant), got in zip(pairs, answers, strict=True) if got[0] != meant]
    assert wrong == []
    assert len(pairs) > 100


@st.composite
def scribbled_numbers(draw):
    """Digits near a real number of any country, with any prefix, some of them spoilt, in any writing."""
    country = draw(st.sampled_from(PLAN_COUNTRIES * 4 + OTHER_COUNTRIES))
    number = draw(st.sampled_from(examples(country)))
    code, subscriber = str(number.country_code), phonenumbers.national_significant_number(number)
    kept = draw(st.integers(0, len(subscriber)))
    lengths = {"min_size": max(0, len(subscriber) - kept - 1), "max_size": len(subscriber) - kept + 1}
    digits = subscriber[:kept] + draw(st.text("0123456789", **lengths))
    marks = ("", "0", "+", "00", "000", "+0", "010", "001", "002", "008", "009", "019", "011", "007")
    prefix = draw(st.sampled_from(marks)) + draw(st.sampled_from(("", code, code + "0", code + "00")))
    separators = st.sampled_from(
        ("", "", "", "", " ", "-", ".", "(", ")", "/", " - ", "x", ",", "~", "\u30fc")
    )
    return "".join(char + draw(separators) for char in prefix + digits)


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(scribbled_numbers(), min_size=1, max_size=30),
    country=st.sampled_from((None, *PLAN_COUNTRIES, "US", "RU")),
    phone_format=st.sampled_from(("international", "national", "as_given")),
    phone_validation=st.sampled_from(("valid", "possible")),
)
def test_vectorised_rules_agree_with_the_library_on_anything(texts, country, phone_format, phone_validation):
    texts = [text for text in map(str.strip, texts) if text]
    rules = PhoneRules(country, phone_format, phone_validation)
    folded = [text.replace("\u30fc", "-") for text in texts]
    assert read(texts, rules) == [tuple(read_number(text, rules)) for text in folded]


WORDS = (
    *(
        "x",
        "ext.12",
        " x12",
        "ext 12345678901",
        "int 3",
        "anexo 4",
        "extensi\xf3n 5",
        "12 x",
        "x1x2",
        "\u5185\u7dda1",
    ),
    *(
        "#",
        "#12",
        ",",
        ";",
        ";ext=3",
        ";phone-context=+81",
        "*",
        "~",
        "=",
        "@",
        "_",
        ":",
        "'",
        '"',
        "\n",
        "\x1c",
    ),
    *(
        "1e5",
        ".",
        "tel:",
        "\u81ea\u5b85",
        "\u0e42\u0e17\u0e23. ",
        "a",
        "e",
        "\xe9",
        "\u0130",
        "\u0131",
        "\xb2",
        "\u2460",
    ),
)


@st.composite
def annotated_numbers(draw):
    """A number as it is usually written, with words and signs put into it anywhere."""
    country = draw(st.sampled_from(PLAN_COUNTRIES))
    number = draw(st.sampled_from(examples(country)))
    text = draw(st.sampled_from([text for text, _ in ways_of_writing(number, country) if text.isascii()]))
    for word in draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)):
        place = draw(st.sampled_from((0, len(text), draw(st.integers(0, len(text))))))
        text = text[:place] + word + text[place:]
    return text.strip()


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(annotated_numbers(), min_size=1, max_size=30),
    country=st.sampled_from((None, *PLAN_COUNTRIES, "US")),
    phone_format=st.sampled_from(("international", "as_given")),
)
def test_vectorised_rules_agree_with_the_library_on_any_words_around_a_number(texts, country, phone_format):
    rules = PhoneRules(country, phone_format)
    assert read(texts, rules) == [tuple(read_number(text, rules)) for text in texts]


@pytest.mark.parametrize("country", PLAN_COUNTRIES)
class TestWhatTheVectorisedRulesTakeForGranted:
    """Properties of the library's metadata; when a new release breaks one, the rules in phone.py need thought."""

    def test_the_country_is_alone_under_its_calling_code(self, country):
        calling_code = phonenumbers.country_code_for_region(country)
        assert phonenumbers.region_codes_for_country_code(calling_code) == (country,)

    def test_the_trunk_prefix_is_a_plain_zero(self, country):
        metadata = PhoneMetadata.metadata_for_region(country)
        assert metadata.national_prefix == "0"
        for start in range(1, 10_000):
            prefix = re.match(metadata.national_prefix_for_parsing, f"0{start}")
            assert prefix.group() == "0"
            assert not any(prefix.groups())
            assert not re.match(metadata.national_prefix_for_parsing, str(start))

    def test_exit_codes_start_with_zero_and_have_one_length(self, country):
        exit_codes = numbering_plan(country).exit_codes.split("|")
        assert exit_codes == EXIT_CODES[country]
        assert {len(exit_code) for exit_code in exit_codes} == {numbering_plan(country).exit_length}

    def test_no_number_starts_like_an_exit_code_but_for_those_with_two_zeros(self, country):
        plan = numbering_plan(country)
        for exit_code in plan.exit_codes.split("|"):
            if exit_code.startswith("00"):
                continue
            start = exit_code.removeprefix("0")
            rest = [
                f"{first:03}{last * length}"
                for first in range(1000)
                for last in "0369"
                for length in range(13)
            ]
            assert not any(re.fullmatch(plan.subscriber, start + digits) for digits in rest)

    @settings(deadline=None, max_examples=30)
    @given(data=st.data())
    def test_every_subscriber_number_is_valid_and_conceivable(self, country, data):
        plan = numbering_plan(country)
        subscriber = data.draw(st.from_regex(plan.subscriber, fullmatch=True))
        number = PhoneNumber(country_code=int(plan.calling_code), national_number=int(subscriber))
        if subscriber.startswith("0"):
            assert subscriber.startswith("00")
            return
        assert phonenumbers.is_valid_number(number)
        national = re.sub(r"\D", "", phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL))
        assert read([f"+{plan.calling_code}{subscriber}"], PhoneRules(phone_format="national")) == [
            (national, "hashed")
        ]
        assert pl.Series([plan.calling_code + subscriber]).str.contains(conceivable_number()).all()


def test_every_country_s_example_numbers_are_conceivable():
    numbers = [
        e164(number) for country in sorted(phonenumbers.SUPPORTED_REGIONS) for number in examples(country)
    ]
    assert len(numbers) > 1000
    assert pl.Series(numbers).str.contains(conceivable_number()).all()
