"""Loading a whole project of audience files."""

import os
import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import dagster as dg

from line_ads_pipeline.components.errors import AudienceFileError, Mistake, shown
from line_ads_pipeline.components.frame import COMPONENT_TYPE, check_files, check_refused_files
from line_ads_pipeline.components.kept_snapshot import SNAPSHOT_STORE
from line_ads_pipeline.components.line_audience import LineAudience
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

__all__ = ["COMPONENT_TYPE", "load_audiences"]

_KINDS = (LineAdsResource, SnapshotStoreResource, WarehouseResource)


def load_audiences(path_within_project: Path) -> dg.Definitions:
    """Load the project's defs folder, as `dg.load_from_defs_folder` does, with short errors for audience files.

    Beyond what each audience checks of itself: where files lie and what surrounds their attributes, the resources
    they name, names used twice, and two audiences that would overwrite each other in LINE.

    Args:
        path_within_project: The folder of the module that calls, below the project's pyproject.toml.

    Raises:
        AudienceFileError: The first mistake in an audience file.
    """
    try:
        return _load(path_within_project)
    except AudienceFileError as error:
        mistake = error
    if os.environ.get("DAGSTER_IS_DEFS_VALIDATION_CLI"):
        # `dagster definitions validate` prints the error, and warns of it with its own stack beside
        warnings.filterwarnings("ignore", message="Error loading repository location", category=UserWarning)
    raise mistake from None


def _load(path_within_project: Path) -> dg.Definitions:
    project = dg.ComponentTree.for_project(path_within_project)
    folder, root = project.defs_module_path, project.project_root
    check_files(folder, root=root)
    try:
        definitions = dg.load_from_defs_folder(path_within_project=path_within_project)
    except AudienceFileError:
        raise
    except Exception:
        check_refused_files(folder, root=root)
        raise
    if definitions.component_tree is not None:
        components = definitions.component_tree.get_all_components(of_type=LineAudience)
        _check_resources(components, definitions.resources or {})
        _check_together(components)
    return definitions


def _check_resources(components: Sequence[LineAudience], resources: Mapping[str, Any]) -> None:
    for component in components:
        audience = component.audience
        for field, key, kind in (
            ("source.warehouse", audience.source.warehouse, WarehouseResource),
            ("destination.credentials", audience.destination.credentials, LineAdsResource),
            ("", SNAPSHOT_STORE, SnapshotStoreResource),
        ):
            resource = resources.get(key)
            if isinstance(resource, kind) or (resource is not None and not isinstance(resource, _KINDS)):
                continue
            is_not = f"is a {type(resource).__name__}" if resource else "is not a resource of this project"
            fitting = [name for name in sorted(resources) if isinstance(resources[name], kind)]
            close = get_close_matches(key, fitting, n=1) or (fitting if len(fitting) == 1 else [])
            if field and close:
                remedy = f"{field.rpartition('.')[2]}: {close[0]}"
            elif field and fitting:
                remedy = f"one of {', '.join(fitting)}"
            else:
                remedy = f'a {kind.__name__} of the key "{shown(key)}" among the resources of the project'
            raise component.mistaken(Mistake(field, f'"{shown(key)}" {is_not}', remedy))


def _check_together(components: Sequence[LineAudience]) -> None:
    names: dict[str, LineAudience] = {}
    destinations: dict[tuple[str, ...], LineAudience] = {}
    for component in components:
        audience, destination = component.audience, component.audience.destination
        namesake = names.setdefault(audience.name, component)
        if namesake is not component:
            problem = f'"{audience.name}" is the name of {namesake.path} too'
            raise component.mistaken(Mistake("name", problem, "a name of its own"))
        for field, value, kind in (
            ("audience_id", destination.audience_id, ""),
            ("audience_name", destination.audience_name, audience.identifier.type),
        ):
            if value is None:
                continue
            place = (field, destination.ad_account_id, value, kind)
            other = destinations.setdefault(place, component)
            if other is not component and _overwrite_each_other(component, other):
                raise component.mistaken(
                    Mistake(
                        f"destination.{field}",
                        f"is the same LINE audience as in {other.path}: a mirror would wipe what the other sends",
                        "an audience_name of its own, or sync_mode: add in both files",
                    )
                )


def _overwrite_each_other(component: LineAudience, other: LineAudience) -> bool:
    """Whether two files of one audience id, or of one name and type, may not be used together."""
    one, two = component.audience.destination, other.audience.destination
    both_known = one.audience_id is not None and two.audience_id is not None
    same_audience = one.audience_id == two.audience_id or not both_known
    return same_audience and {one.sync_mode, two.sync_mode} != {"add"}
