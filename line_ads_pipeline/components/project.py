"""Loading a whole project of audience files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import dagster as dg

from line_ads_pipeline.components.errors import AudienceFileError, Mistake
from line_ads_pipeline.components.line_audience import LineAudience
from line_ads_pipeline.components.yaml_document import YamlDocument, shown_path

COMPONENT_TYPE = "line_ads_pipeline.components.LineAudience"
FIELDS_OF_A_FILE = ("type", "attributes", "requirements", "template_vars_module", "post_processing")


def load_audiences(path_within_project: Path) -> dg.Definitions:
    """Load the project's defs folder, as `dg.load_from_defs_folder` does, with short errors for audience files.

    Beyond what each audience checks of itself: the frame of the file, names used twice, and two audiences that
    would overwrite each other in LINE.

    Args:
        path_within_project: The folder of the module that calls, below the project's pyproject.toml.

    Raises:
        AudienceFileError: The first mistake in an audience file.
    """
    try:
        definitions = dg.load_from_defs_folder(path_within_project=path_within_project)
        if definitions.component_tree is not None:
            components = definitions.component_tree.get_all_components(of_type=LineAudience)
            _check_resources(components, sorted(definitions.resources or {}))
            _check_together(components)
    except AudienceFileError as error:
        mistake = error
    except Exception:
        found = next(_mistakes_in_frames(path_within_project), None)
        if found is None:
            raise
        mistake = found
    else:
        return definitions
    if os.environ.get("DAGSTER_IS_DEFS_VALIDATION_CLI"):
        # `dagster definitions validate` prints the error, and warns of it with its own stack beside
        warnings.filterwarnings("ignore", message="Error loading repository location", category=UserWarning)
    raise mistake from None


def _check_resources(components: Sequence[LineAudience], keys: Sequence[str]) -> None:
    for component in components:
        audience = component.audience
        for field, key in (
            ("source.warehouse", audience.source.warehouse),
            ("destination.credentials", audience.destination.credentials),
        ):
            if key not in keys:
                close = get_close_matches(key, keys, n=1)
                raise AudienceFileError(
                    component.path,
                    Mistake(
                        field,
                        f'"{key}" is not a resource of this project',
                        f"{field.rpartition('.')[2]}: {close[0]}" if close else f"one of {', '.join(keys)}",
                    ),
                )


def _check_together(components: Sequence[LineAudience]) -> None:
    names: dict[str, str] = {}
    destinations: dict[tuple[str | None, ...], LineAudience] = {}
    for component in components:
        audience, destination = component.audience, component.audience.destination
        if audience.name in names:
            problem = f'"{audience.name}" is the name of {names[audience.name]} too'
            raise AudienceFileError(component.path, Mistake("name", problem, "a name of its own"))
        names[audience.name] = component.path
        for place in (
            ("id", destination.ad_account_id, destination.audience_id),
            ("name", destination.ad_account_id, destination.audience_name, audience.identifier.type),
        ):
            if place[2] is None:
                continue
            other = destinations.setdefault(place, component)
            both_add = {destination.sync_mode, other.audience.destination.sync_mode} == {"add"}
            if other is not component and not both_add:
                raise AudienceFileError(
                    component.path,
                    Mistake(
                        "destination",
                        f"is the same LINE audience as in {other.path}: a mirror would wipe what the other sends",
                        "an audience_name of its own, or sync_mode: add in both files",
                    ),
                )


def _mistakes_in_frames(folder: Path) -> Iterator[AudienceFileError]:
    """The mistakes outside the attributes, which Dagster finds before a component is asked."""
    for file in sorted(folder.rglob("defs.yaml")):
        shown_as = shown_path(file, folder.parent)
        try:
            documents = YamlDocument.read_all(file, shown_as=shown_as)
            for document in documents or [YamlDocument(shown_as, None)]:
                mistake = _mistake_in_frame(document)
                if mistake is not None:
                    yield AudienceFileError(shown_as, mistake)
        except AudienceFileError as error:
            yield error


def _mistake_in_frame(document: YamlDocument) -> Mistake | None:
    values = document.values()
    if not isinstance(values, dict):
        problem = "is empty" if values is None else "is not a block of fields"
        return Mistake("", problem, f"type: {COMPONENT_TYPE}, and attributes below it")
    for field in values:
        if field not in FIELDS_OF_A_FILE:
            close = get_close_matches(field, FIELDS_OF_A_FILE, n=1)
            remedy = close[0] if close else f"{field} indented, below attributes"
            return Mistake(field, "is not a field at the top of a file", remedy, document.line_of([field]))
    if "type" not in values:
        return Mistake("type", "is missing", f"type: {COMPONENT_TYPE}", document.line_of([]))
    kind = values["type"]
    if not isinstance(kind, str) or (
        get_close_matches(kind, [COMPONENT_TYPE], cutoff=0.7) and kind != COMPONENT_TYPE
    ):
        return Mistake(
            "type", f'"{kind}" is not a component', f"type: {COMPONENT_TYPE}", document.line_of(["type"])
        )
    if not isinstance(values.get("attributes", {}), dict | None):
        return Mistake(
            "attributes",
            "is not a block of fields",
            "attributes: with name, source, identifier and destination below it",
            document.line_of(["attributes"]),
        )
    return None
