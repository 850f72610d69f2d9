"""Nested tables as text."""

import json
from typing import Any


def indented(content: Any, depth: int = 1) -> str:
    """Return nested tables as indented lines."""
    lines = []
    for name, value in content.items():
        if isinstance(value, dict) and value:
            lines += [f"{'  ' * depth}{name}:", indented(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)
