"""What surrounds the attributes of an audience file: where the file lies, and the fields at its top.

Dagster reports mistakes there over dozens of lines, or takes the file for none of its own and says nothing.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster.components.core.defs_module import (
    ComponentRequirementsModel,
    find_defs_or_component_yaml,
)
from pydantic import ValidationError

from line_ads_pipeline.components.errors import AudienceFileError, Mistake, shown
from line_ads_pipeline.components.yaml_document import FAST_LOADER, YamlDocument, shown_path

COMPONENT_TYPE = "line_ads_pipeline.components.LineAudience"
FIELDS_OF_A_FILE = ("type", "attributes", "requirements", "template_vars_module", "post_processing")

_TYPE = re.compile(r"""^['"]?type['"]?\s*:\s*['"]?([\w.]+)""", re.MULTILINE)
_LIKE_OURS = re.compile(r"line_?ad|audien", re.IGNORECASE)


def check_files(folder: Path, *, root: Path) -> None:
    """Check the frames of a project's audience files, before Dagster reads them.

    Files whose component types are plainly of others are left to Dagster.

    Args:
        folder: The project's defs folder.
        root: The project, to which errors name files relatively.

    Raises:
        AudienceFileError: The first mistake.
    """
    for file in _yaml_files(folder):
        text = file.read_text(encoding="utf-8", errors="replace")
        types = _TYPE.findall(text)
        mistake = _mistake_in_place(file, folder) if COMPONENT_TYPE in types else None
        if mistake is not None:
            raise AudienceFileError(shown_path(file, root), mistake)
        if file.name == "defs.yaml" and not (types and all(map(_is_of_others, types))):
            _check_file(file, shown_path(file, root))


def check_refused_files(folder: Path, *, root: Path) -> None:
    """Check all that may be audience files once more, after Dagster failed: with its own reader, whatever the type.

    Raises:
        AudienceFileError: The first mistake.
    """
    for file in _yaml_files(folder):
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.name == "defs.yaml" and "ad_account_id" in text:
            _check_file(file, shown_path(file, root), loader=yaml.SafeLoader)


def _yaml_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        steps = file.relative_to(folder).parts
        ignored = any(step.startswith(".") or step == "__pycache__" for step in steps)
        if file.suffix.lower() in {".yaml", ".yml"} and not ignored and file.is_file():
            yield file


def _is_of_others(kind: str) -> bool:
    return "." in kind and not _LIKE_OURS.search(kind)


def _mistake_in_place(file: Path, folder: Path) -> Mistake | None:
    """Why Dagster would not read the file, or not as its author sees it."""
    if file.name != "defs.yaml":
        return Mistake(
            "",
            "is not read: the name of an audience file is defs.yaml, in a folder of its own",
            f"{file.parent.name}/{file.stem}/defs.yaml"
            if file.stem != "defs"
            else f"{file.parent.name}/defs.yaml",
        )
    for above in file.parent.parents:
        if not above.is_relative_to(folder):
            break
        hiding = find_defs_or_component_yaml(above)
        if hiding is not None and "DefsFolderComponent" not in hiding.read_text("utf-8", errors="replace"):
            return Mistake(
                "",
                f"is not read: Dagster looks no further than {hiding.relative_to(folder.parent)}",
                f"that file in a folder of its own, beside {file.parent.name}",
            )
    return None


def _check_file(file: Path, shown_as: str, *, loader: type[yaml.SafeLoader] = FAST_LOADER) -> None:
    documents = YamlDocument.read_all(file, shown_as=shown_as, loader=loader)
    for document in documents or [YamlDocument(shown_as)]:
        mistake = _mistake_in_frame(document, file)
        if mistake is not None:
            raise AudienceFileError(shown_as, mistake)


def _mistake_in_frame(document: YamlDocument, file: Path) -> Mistake | None:
    values = document.values()
    if not isinstance(values, dict):
        problem = "is empty" if values is None else "is not a block of fields"
        return Mistake("", problem, f"type: {COMPONENT_TYPE}, and attributes below it", document.line_of([]))
    for field in values:
        if field not in FIELDS_OF_A_FILE:
            close = get_close_matches(field, FIELDS_OF_A_FILE, n=1)
            remedy = close[0] if close else f"{shown(field)} indented, below attributes"
            return Mistake(field, "is not a field at the top of a file", remedy, document.line_of([field]))
    if "type" not in values:
        return Mistake("type", "is missing", f"type: {COMPONENT_TYPE}", document.line_of([]))
    for field, problem, remedy in _problems_at_the_top(values, file):
        return Mistake(field, problem, remedy, document.line_of([field]))
    return None


def _problems_at_the_top(values: dict[str, Any], file: Path) -> Iterator[tuple[str, str, str]]:
    """Each field at the top that is of a wrong kind, what is wrong, and the remedy."""
    kind = values["type"]
    if not isinstance(kind, str) or not _is_component(kind):
        name = f'"{shown(kind)}"' if isinstance(kind, str) else "what is here"
        yield "type", f"{name} is not a component", f"type: {COMPONENT_TYPE}"
    if not isinstance(values.get("attributes", {}), dict | None):
        remedy = "attributes: with name, source, identifier and destination below it"
        yield "attributes", "is not a block of fields", remedy
    module = values.get("template_vars_module")
    if module is not None and not (isinstance(module, str) and _is_module(module, file.parent)):
        name = f'"{shown(module)}"' if isinstance(module, str) else "what is here"
        remedy = "a module that can be imported, such as .template_vars for template_vars.py beside this file"
        yield "template_vars_module", f"{name} is not a module", remedy
    try:
        ComponentRequirementsModel.model_validate(values.get("requirements") or {})
    except ValidationError:
        problem = "is not a block with a list of environment variables"
        yield "requirements", problem, "requirements: {env: [NAME_OF_A_VARIABLE]}"
    if not _are_post_processors(values.get("post_processing")):
        remedy = 'post_processing: {assets: [{target: "*", attributes: {tags: {team: crm}}}]}'
        yield "post_processing", "is not a block with a list of assets", remedy


def _are_post_processors(value: object) -> bool:
    """Whether the kinds fit: Dagster looks at them only while it changes assets, and names no file then."""
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) - {"assets"}:
        return False
    assets = value.get("assets") or []
    return _is_template(assets) or (
        isinstance(assets, list)
        and all(
            _is_template(asset)
            or (
                isinstance(asset, dict)
                and set(asset) <= {"target", "operation", "attributes"}
                and (isinstance(asset.get("attributes"), dict) or _is_template(asset.get("attributes")))
            )
            for asset in assets
        )
    )


def _is_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


def _is_component(kind: str) -> bool:
    if kind == COMPONENT_TYPE or kind.startswith("."):
        return True
    module, _, name = kind.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if module else None
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            return False
        raise
    return isinstance(found, type) and issubclass(found, dg.Component)


def _is_module(name: str, folder: Path) -> bool:
    if name.startswith("."):
        steps = name[1:].split(".")
        place = folder.joinpath(*steps)
        return all(steps) and (place.with_suffix(".py").is_file() or place.is_dir())
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
