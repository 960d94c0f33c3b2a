"""The component behind `type: line_ads_pipeline.components.LineAudience`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import dagster as dg
import jinja2
from dagster.components.core.defs_module import ComponentPath, find_defs_or_component_yaml
from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from line_ads_pipeline.components.assets import build_assets
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import AudienceFileError, Mistake, shown
from line_ads_pipeline.components.reading import read_audience
from line_ads_pipeline.components.schedule import build_automation, run_partitions
from line_ads_pipeline.components.yaml_document import YamlDocument, shown_path


class AudienceAttributes(RootModel[dict[str, Any]]):
    """What Dagster's YAML reader made of the attributes: taken as it is, since the file itself is read again.

    Dagster validates attributes before a component sees them, and reports mistakes over a hundred lines. Its
    JSON schema is that of `Audience`, so that editors complete the fields.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler.resolve_ref_schema(handler(Audience.__pydantic_core_schema__))


class LineAudience(dg.Component):
    """Keeps one LINE Ads custom audience in step with a segment of the warehouse.

    Three assets (`<name>/source_segment`, `<name>/hashed_identifiers`, `<name>/line_custom_audience`), the job
    `sync_<name>`, the schedule `<name>_schedule` and, with `update_on_change`, the sensor `<name>_source_updated`, all
    from one `defs.yaml`:

        type: line_ads_pipeline.components.LineAudience
        attributes:
          name: vip_customers
          source: {table: marts.vip_customers}
          identifier: {type: email}
          destination: {ad_account_id: A10000000001, audience_name: VIP customers}
    """

    def __init__(self, audience: Audience, *, document: YamlDocument | None = None) -> None:
        self.audience = audience
        self._document = document or YamlDocument("attributes")

    @property
    def path(self) -> str:
        """The audience file, as errors name it."""
        return self._document.path

    def mistaken(self, mistake: Mistake) -> AudienceFileError:
        """The error for a mistake in this audience's attributes, with its line."""
        steps = mistake.field.split(".") if mistake.field else []
        return AudienceFileError(
            self.path, replace(mistake, line=self._document.line_of(["attributes", *steps]))
        )

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The model Dagster passes the attributes through, and whose JSON schema its tools show."""
        return AudienceAttributes

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """How Dagster's tools describe the component."""
        return dg.ComponentTypeSpec(
            description="Keeps a LINE Ads custom audience in step with a segment of the warehouse.",
            tags=["line-ads", "reverse-etl"],
        )

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Read the audience from the file the component was declared in, or from `attributes` without a file.

        Raises:
            AudienceFileError: The first mistake in the file.
        """
        document = _document(context)
        values = attributes.root if isinstance(attributes, AudienceAttributes) else {}
        typed = document.values()
        if isinstance(typed, dict):
            values = typed.get("attributes") or {}
        filled = _Templates(context.resolution_context.scope, document).fill(values)
        return cls(read_audience(filled, document=document), document=document)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The audience's assets, job, schedule and sensor."""
        partitions = run_partitions(self.audience.run_frequency)
        assets = build_assets(self.audience, partitions)
        return dg.Definitions.merge(
            dg.Definitions(assets=assets), build_automation(self.audience, assets, partitions)
        )


def _document(context: dg.ComponentLoadContext) -> YamlDocument:
    """The YAML document that declares the component; an empty one when it was made from Python."""
    location = context.component_decl.loc
    if isinstance(location, ComponentPath) and isinstance(location.instance_key, int):
        file = find_defs_or_component_yaml(location.file_path)
        if file is not None:
            shown_as = shown_path(file, context.project_root)
            return YamlDocument.read_all(file, shown_as=shown_as)[location.instance_key]
    return YamlDocument("attributes")


class _Templates:
    """Fills `{{ … }}` from Dagster's scope, as text: its own templates would turn digits into numbers."""

    def __init__(self, scope: Mapping[str, Any], document: YamlDocument) -> None:
        self._scope = scope
        self._document = document
        self._environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            finalize=_present,
            autoescape=False,  # noqa: S701 - YAML, not HTML
        )

    def fill(self, values: Any, at: tuple[str | int, ...] = ()) -> Any:  # noqa: ANN401 - any YAML
        """The values with all templates filled.

        Raises:
            AudienceFileError: A template cannot be filled.
        """
        if isinstance(values, dict):
            return {key: self.fill(value, (*at, key)) for key, value in values.items()}
        if isinstance(values, list):
            return [self.fill(value, (*at, number)) for number, value in enumerate(values)]
        if not (isinstance(values, str) and "{{" in values):
            return values
        try:
            return self._environment.from_string(values).render(self._scope)
        except Exception as error:  # noqa: BLE001 - a template may raise anything; all of it is the file's mistake
            problem = f'the template "{shown(values)}" cannot be filled: {shown(error, at_most=120)}'
        raise AudienceFileError(
            self._document.path,
            Mistake(
                ".".join(map(str, at)),
                problem,
                "a plain value, or {{ env.NAME }} of a variable that is set",
                self._document.line_of(["attributes", *at]),
            ),
        )


def _present(value: object) -> object:
    if value is None:
        raise jinja2.UndefinedError("the variable is not set")
    return value
