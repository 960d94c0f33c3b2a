"""One document of a `defs.yaml`, with every scalar as the text that was typed and the line of each field."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from line_ads_pipeline.components.errors import AudienceFileError, Mistake, shown

DEEPEST_NESTING = 20
MOST_REFERENCES = 20
LONGEST_NUMBER = 1000
"""Characters. Python reads integers of at most 4,300 digits, and Dagster's reader fails on longer ones."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_STUMBLING = re.compile(r"=|<<|[-+]?0[bx]_+")
"""Plain scalars that are text to a reader of the file, but that YAML 1.1 cannot construct."""

FAST_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Fifteen times as fast as Dagster's, where PyYAML was built with it, but not as strict about tabs."""


Place = tuple[int, int, bool]
"""Line and column, from 0, and whether it is a scalar: a block begins where its first field does."""


class YamlDocument:
    """A document in a YAML file."""

    def __init__(
        self, path: str, node: yaml.Node | None = None, tags: Mapping[Place, str] | None = None
    ) -> None:
        """Take the node's values and lines.

        Args:
            path: The file, as errors name it.
            node: The root of the document; None for one without content.
            tags: The explicit tags in the file, by what they stand before.

        Raises:
            AudienceFileError: A key stands twice in one block, or what Dagster's own reader would stumble over.
        """
        self.path = path
        self._tags = tags or {}
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._values: Any = None
        if node is not None:
            self._lines[()] = node.start_mark.line + 1
            self._values = self._plain(node, (), ())

    @classmethod
    def read_all(
        cls, file: Path, *, shown_as: str, loader: type[yaml.SafeLoader] = FAST_LOADER
    ) -> list["YamlDocument"]:
        """The documents of the file.

        Raises:
            AudienceFileError: The file is not YAML, or it holds what no audience file needs and Dagster's reader
                stumbles over: explicit tags, references to themselves, deep nesting, keys that are not text.
        """
        try:
            text = file.read_text(encoding="utf-8")
            tags = _explicit_tags(text, shown_as, loader)
            nodes = list(yaml.compose_all(text, Loader=loader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            remedy = "key: value, indented by spaces; quote values that hold special characters"
            if mark and "{{" in "".join(text.splitlines()[mark.line : mark.line + 1]):
                remedy = 'quotes around the whole value: "{{ env.NAME }}"'
            mistake = Mistake(
                "", f"is not valid YAML: {error.problem}", remedy, line=mark.line + 1 if mark else None
            )
        except (yaml.YAMLError, UnicodeDecodeError):
            mistake = Mistake("", "is not YAML text", "the file in UTF-8, without control characters")
        else:
            return [cls(shown_as, node, tags) for node in nodes]
        raise AudienceFileError(shown_as, mistake)

    def values(self) -> Any:  # noqa: ANN401 - whatever the file holds
        """The document as dicts, lists, text and None."""
        return self._values

    def line_of(self, location: Sequence[str | int]) -> int | None:
        """The line, from 1, of the field at `location`, or of the innermost block around it that is there."""
        steps = tuple(location)
        while steps and steps not in self._lines:
            steps = steps[:-1]
        return self._lines.get(steps)

    def _plain(self, node: yaml.Node, at: tuple[str | int, ...], around: tuple[yaml.Node, ...]) -> Any:  # noqa: ANN401 - whatever the file holds
        tag = self._tags.get(_place(node))
        if tag is not None:
            problem = f'has the YAML tag "{shown(tag.replace(_TAG, "!!"))}"'
            self._refuse(at, problem, 'the value alone, or "{{ env.NAME }}" of an environment variable')
        if any(node is block for block in around) or len(around) > DEEPEST_NESTING:
            self._refuse(at, "holds itself, or is nested too deep", "the values themselves")
        within = (*around, node)
        if isinstance(node, yaml.MappingNode):
            return self._plain_mapping(node, at, within)
        if isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._lines[*at, number] = item.start_mark.line + 1
            return [self._plain(item, (*at, number), within) for number, item in enumerate(node.value)]
        if node.tag in {f"{_TAG}int", f"{_TAG}float"} and len(node.value) > LONGEST_NUMBER:
            self._refuse(at, f"is a number of {len(node.value)} characters", "a shorter value")
        if node.tag != f"{_TAG}str" and _STUMBLING.fullmatch(node.value):
            self._refuse(
                at, f'"{node.value}" means something else in YAML', f'"{node.value}", within the quotes'
            )
        return None if node.tag == f"{_TAG}null" else node.value

    def _plain_mapping(
        self, node: yaml.MappingNode, at: tuple[str | int, ...], within: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        # merged fields first, so that the lines of the block's own prevail
        for key, value in sorted(node.value, key=lambda field: field[0].tag != _MERGE):
            if key.tag == _MERGE:
                merged |= self._merged(value, at, within)
                continue
            self._check_key(key, at)
            if key.value in own:
                self._refuse((*at, key.value), "stands twice in one block", "each field once", beside=key)
            self._lines[*at, key.value] = key.start_mark.line + 1
            own[key.value] = self._plain(value, (*at, key.value), within)
        return merged | own

    def _merged(
        self, value: yaml.Node, at: tuple[str | int, ...], within: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        """What `<<` brings: of several blocks, the first that has a field."""
        merged: dict[str, Any] = {}
        for source in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
            if not isinstance(source, yaml.MappingNode):
                self._refuse(
                    (*at, "<<"), "merges what is not a block of fields", "<<: *name_of_a_block", beside=value
                )
            merged |= self._plain(source, at, within)
        return merged

    def _check_key(self, key: yaml.Node, at: tuple[str | int, ...]) -> None:
        if isinstance(key, yaml.MappingNode) and len(key.value) == 1 and at:
            name = key.value[0][0].value
            if isinstance(name, str):
                self._refuse(
                    at, "is a template without quotes", f'{at[-1]}: "{{{{ {shown(name)} }}}}"', beside=key
                )
        if not isinstance(key, yaml.ScalarNode):
            self._refuse(at, "holds a block or list in place of a field's name", "name: value", beside=key)
        if _place(key) in self._tags or key.tag != f"{_TAG}str":
            self._refuse(
                (*at, key.value), "is not the name of a field", "a name of letters and _", beside=key
            )

    def _refuse(
        self, at: tuple[str | int, ...], problem: str, remedy: str, *, beside: yaml.Node | None = None
    ) -> None:
        line = self.line_of(at) if beside is None else beside.start_mark.line + 1
        steps = at[1:] if at[:1] == ("attributes",) else at
        raise AudienceFileError(
            self.path, Mistake(".".join(str(step) for step in steps), problem, remedy, line)
        )


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line, node.start_mark.column, isinstance(node, yaml.ScalarNode)


def _explicit_tags(text: str, path: str, loader: type[yaml.SafeLoader]) -> dict[Place, str]:
    """The tags in the text, by what they stand before.

    Looks at events rather than nodes: a composer recurses, and the one in C ends the process where it is too deep.

    Raises:
        AudienceFileError: Blocks are nested too deep, or there are too many references.
    """
    tags: dict[Place, str] = {}
    depth = references = 0
    for event in yaml.parse(text, Loader=loader):
        mark: Any = event.start_mark  # typed as optional, but of a text there is always one
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            tags[mark.line, mark.column, isinstance(event, yaml.ScalarEvent)] = event.tag
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        references += isinstance(event, yaml.AliasEvent)
        if depth > DEEPEST_NESTING or references > MOST_REFERENCES:
            problem = (
                f"nests more than {DEEPEST_NESTING} blocks"
                if depth > DEEPEST_NESTING
                else f"holds more than {MOST_REFERENCES} references (*name)"
            )
            raise AudienceFileError(
                path, Mistake("", problem, "a block for each part of the audience", mark.line + 1)
            )
    return tags


def shown_path(file: Path, root: Path) -> str:
    """The file's path as its author knows it: relative to the project."""
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
