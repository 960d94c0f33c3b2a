"""One document of a `defs.yaml`, with every scalar as the text that was typed and the line of each field."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from line_ads_pipeline.components.errors import AudienceFileError, Mistake

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


class _TextLoader(yaml.SafeLoader):
    """Knows null and merge keys; leaves numbers, dates and truth values as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute, replaced rather than changed
        first: [(tag, pattern) for tag, pattern in resolvers if tag in {_NULL, _MERGE}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class YamlDocument:
    """A mapping in a YAML file."""

    def __init__(self, path: str, node: yaml.Node | None) -> None:
        self.path = path
        self._node = node

    @classmethod
    def read_all(cls, file: Path, *, shown_as: str) -> list["YamlDocument"]:
        """The documents of the file.

        Raises:
            AudienceFileError: The file is not YAML, or a key stands twice in one block.
        """
        try:
            nodes = list(yaml.compose_all(file.read_text(encoding="utf-8"), Loader=_TextLoader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            mistake = Mistake(
                field="",
                problem=f"is not valid YAML: {error.problem}",
                remedy="key: value, indented by spaces; quote values that hold special characters",
                line=mark.line + 1 if mark else None,
            )
        except (yaml.YAMLError, UnicodeDecodeError):
            mistake = Mistake(
                field="", problem="is not YAML text", remedy="the file in UTF-8, without control characters"
            )
        else:
            return [cls(shown_as, node) for node in nodes]
        raise AudienceFileError(shown_as, mistake)

    def values(self) -> Any:  # noqa: ANN401 - whatever the file holds
        """The document as dicts, lists, text and None.

        Raises:
            AudienceFileError: A key stands twice in one block.
        """
        return None if self._node is None else self._plain(self._node)

    def line_of(self, location: Sequence[str | int]) -> int | None:
        """The line, from 1, of the field at `location`, or of the innermost block around it that is there."""
        node, line = self._node, None
        if node is not None:
            line = node.start_mark.line + 1
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line

    def _plain(self, node: yaml.Node) -> Any:  # noqa: ANN401 - whatever the file holds
        if isinstance(node, yaml.MappingNode):
            return self._plain_mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item) for item in node.value]
        return None if node.tag == _NULL else node.value

    def _plain_mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):
                    merged |= self._plain(source)
                continue
            if key.value in own:
                mistake = Mistake(
                    field=str(key.value),
                    problem="stands twice in one block",
                    remedy="each field once",
                    line=key.start_mark.line + 1,
                )
                raise AudienceFileError(self.path, mistake)
            own[str(key.value)] = self._plain(value)
        return merged | own


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step], node.value[step]
    return None


def shown_path(file: Path, root: Path) -> str:
    """The file's path as its author knows it: relative to the project."""
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
