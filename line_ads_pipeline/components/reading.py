"""From a `defs.yaml` to an `Audience`, with validation errors in the words of the file."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import AudienceFileError, Mistake
from line_ads_pipeline.components.yaml_document import YamlDocument


def read_audience(attributes: Any, *, document: YamlDocument) -> Audience:  # noqa: ANN401 - whatever the file holds
    """Validate the attributes of an audience file.

    Raises:
        AudienceFileError: One mistake, with its line, and how many more there are.
    """
    try:
        return Audience.model_validate(attributes)
    except ValidationError as error:
        # a misspelt field is also a missing one: the misspelling explains more
        found = sorted(error.errors(include_url=False), key=lambda details: details["type"] == "missing")
        mistakes = [_mistake(details, document) for details in found]
    raise AudienceFileError(document.path, mistakes[0], further=len(mistakes) - 1)


def _mistake(details: ErrorDetails, document: YamlDocument) -> Mistake:
    location = list(details["loc"])
    context = details.get("ctx", {})
    if details["type"] == "mistake":
        if context["field"]:
            location.append(context["field"])
        problem, remedy = context["problem"], context["remedy"] or _example(location)
    else:
        problem, remedy = _problem_and_remedy(details, location)
    return Mistake(
        field=".".join(str(step) for step in location),
        problem=problem,
        remedy=remedy,
        line=document.line_of(["attributes", *location]),
    )


def _problem_and_remedy(details: ErrorDetails, location: Sequence[str | int]) -> tuple[str, str]:
    block, field = _model_at(location[:-1]), str(location[-1]) if location else ""
    value, context = details["input"], details.get("ctx", {})
    remedy = _example(location)
    match details["type"]:
        case "missing":
            return "is missing", remedy
        case "extra_forbidden":
            known = sorted(block.model_fields)
            close = get_close_matches(field, known, n=1)
            return "is not a field here", close[0] if close else f"one of {', '.join(known)}"
        case "literal_error":
            allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            close = get_close_matches(str(value), allowed.split(", "), n=1)
            return f"{_shown(value)} is not one of {allowed}", f"{field}: {close[0]}" if close else remedy
        case "bool_parsing" | "bool_type":
            return f"{_shown(value)} is neither true nor false", remedy
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{_shown(value)} is not a whole number", remedy
        case "greater_than_equal":
            return f"{_shown(value)} is less than {context['ge']}", remedy
        case "less_than_equal":
            return f"{_shown(value)} is more than {context['le']}", remedy
        case "string_type":
            return f"is {_shown(value)}, not text", remedy
        case "list_type":
            return f"is {_shown(value)}, not a list", remedy
        case "model_type" | "model_attributes_type":
            return f"is {_shown(value)}, not a block of fields", remedy
        case _:
            return details["msg"], remedy


def _shown(value: object) -> str:
    match value:
        case None:
            return "empty"
        case Mapping():
            return "a block of fields"
        case list():
            return "a list"
        case _:
            return f'"{value}"'


def _model_at(location: Sequence[str | int]) -> type[BaseModel]:
    model: type[BaseModel] = Audience
    for step in location:
        field = model.model_fields.get(str(step))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return model


def _example(location: Sequence[str | int]) -> str:
    """`field: value` of the innermost field at `location` that has an example."""
    steps = [step for step in location if isinstance(step, str)]
    if not steps:
        return "attributes with name, source, identifier and destination"
    field = _model_at(steps[:-1]).model_fields.get(steps[-1])
    return f"{steps[-1]}: {field.examples[0]}" if field and field.examples else steps[-1]
