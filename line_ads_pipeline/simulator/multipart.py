"""Reading an upload's multipart body in memory: mobile ad ids are not hashed, so never spooled to disk."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from line_ads_pipeline.simulator.records import Refusal


@dataclass
class Part:
    """One part of a multipart body; `file_name` is None for a plain field."""

    name: str
    file_name: str | None
    content: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        """The content of a plain field."""
        return self.content.decode("utf-8", errors="replace")


async def read_parts(
    chunks: AsyncIterator[bytes], *, content_type: str, keep_bytes: int, on_field: Callable[[Part], None]
) -> dict[str, Part]:
    """Read a multipart body to its end.

    Args:
        chunks: The body.
        content_type: The Content-Type header, with its boundary.
        keep_bytes: How much of each part's content is kept; the rest is read and left out.
        on_field: Called with each plain field as soon as it is complete, while the rest is still under way.

    Returns:
        The parts by name.

    Raises:
        Refusal: 400, when the body is not multipart, ends early, or has a name twice.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise _refused("the Content-Type has no boundary")
    collector = _Collector(keep_bytes=keep_bytes, on_field=on_field)
    problem = ""
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collector.begin_part,
                "on_header_field": collector.add_header_name,
                "on_header_value": collector.add_header_value,
                "on_header_end": collector.end_header,
                "on_headers_finished": collector.end_headers,
                "on_part_data": collector.add_content,
                "on_part_end": collector.end_part,
                "on_end": collector.end,
            },
        )
        async for chunk in chunks:
            parser.write(chunk)
    except MultipartParseError as error:
        problem = str(error)
    if problem or not collector.ended:
        raise _refused(problem or "the multipart body ends before its last boundary")
    return collector.parts


class _Collector:
    def __init__(self, *, keep_bytes: int, on_field: Callable[[Part], None]) -> None:
        self.parts: dict[str, Part] = {}
        self.ended = False
        self._keep_bytes = keep_bytes
        self._on_field = on_field
        self._part = Part("", None)
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""

    def begin_part(self) -> None:
        self._disposition = b""

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def end_headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"name", b"").decode("utf-8", errors="replace")
        if not name or name in self.parts:
            raise _refused("a part has no name, or the name of another part")
        file_name = options.get(b"filename")
        self._part = Part(name, None if file_name is None else file_name.decode("utf-8", errors="replace"))

    def add_content(self, data: bytes, start: int, end: int) -> None:
        room = self._keep_bytes - len(self._part.content)
        self._part.content += memoryview(data)[start : min(end, start + room)]

    def end_part(self) -> None:
        self.parts[self._part.name] = self._part
        if self._part.file_name is None:
            self._on_field(self._part)

    def end(self) -> None:
        self.ended = True


def _refused(detail: str) -> Refusal:
    return Refusal(400, "DECODING_FAILED", rule="invalid_request", detail=detail)
