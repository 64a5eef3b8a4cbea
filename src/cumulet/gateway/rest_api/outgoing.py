"""The request that an integration makes, as plain data."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Outgoing:
    """`path` are values for the variables in the integration's URI."""

    method: str
    headers: dict[str, list[str]] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def set_header(self, name: str, value: str) -> None:
        """Replaces what the header was, however it was spelled."""
        for known in [known for known in self.headers if known.lower() == name.lower()]:
            del self.headers[known]
        self.headers[name] = [value]

    def header_pairs(self) -> list[tuple[str, str]]:
        return [(name, value) for name, values in self.headers.items() for value in values]
