"""From a `defs.yaml` to an `Audience`, with validation errors in the words of the file."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import AudienceFileError, Mistake, shown
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
            location.extend(context["field"].split("."))
        problem, remedy = context["problem"], context["remedy"] or _example(location)
    else:
        problem, remedy = _problem_and_remedy(details, location)
    return Mistake(
        field=".".join(str(step) for step in location),
        problem=problem,
        remedy=remedy,
        line=document.line_of(["attributes", *location]),
    )


_PROBLEMS = {
    "missing": "is missing",
    "bool_parsing": "{value} is neither true nor false",
    "bool_type": "{value} is neither true nor false",
    "int_parsing": "{value} is not a whole number",
    "int_type": "{value} is not a whole number",
    "int_parsing_size": "{value} is not a whole number of any use",
    "greater_than_equal": "{value} is less than {ge}",
    "less_than_equal": "{value} is more than {le}",
    "string_type": "is {value}, not text",
    "list_type": "is {value}, not a list",
    "model_type": "is {value}, not a block of fields",
    "model_attributes_type": "is {value}, not a block of fields",
}
"""What pydantic's kinds of errors mean to whoever wrote the file."""


def _problem_and_remedy(details: ErrorDetails, location: Sequence[str | int]) -> tuple[str, str]:
    field = str(location[-1]) if location else ""
    context = details.get("ctx", {})
    value = _shown(details["input"])
    if details["type"] == "extra_forbidden":
        known = sorted(_model_at(location[:-1]).model_fields)
        close = get_close_matches(field, known, n=1)
        return "is not a field here", close[0] if close else f"one of {', '.join(known)}"
    if details["type"] == "literal_error":
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        close = get_close_matches(shown(details["input"]), allowed.split(", "), n=1)
        return f"{value} is not one of {allowed}", f"{field}: {close[0]}" if close else _example(location)
    template = _PROBLEMS.get(details["type"])
    problem = template.format(value=value, **context) if template else details["msg"]
    return problem, _example(location)


def _shown(value: object) -> str:
    match value:
        case None:
            return "empty"
        case Mapping():
            return "a block of fields"
        case list():
            return "a list"
        case _:
            return f'"{shown(value)}"'


def _model_at(location: Sequence[str | int]) -> type[BaseModel]:
    model: type[BaseModel] = Audience
    for step in location:
        field = model.model_fields.get(str(step))
        kinds = get_args(field.annotation) or (field.annotation,) if field else ()
        block = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if block is None:
            break
        model = block
    return model


def _example(location: Sequence[str | int]) -> str:
    """`field: value` of the innermost field at `location` that has an example."""
    steps = [step for step in location if isinstance(step, str)]
    if not steps:
        return "attributes with name, source, identifier and destination"
    field = _model_at(steps[:-1]).model_fields.get(steps[-1])
    return f"{steps[-1]}: {field.examples[0]}" if field and field.examples else steps[-1]
