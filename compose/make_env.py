"""Writes .env from .env.example with a random value for every password and key that has none: `make env`.

What is in .env already stays as it is; what .env.example has beyond it is added.
"""

import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTING = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")


def filled(example: str, present: str) -> str:
    """The lines of the example, with the values that are present and new ones where there is none."""
    given = {match[1]: line for line in present.splitlines() if (match := re.match(r"([A-Z][A-Z0-9_]*)=.+", line))}
    lines = []
    for line in example.splitlines():
        match = SETTING.fullmatch(line)
        if match and match[1] in given:
            line = given.pop(match[1])
        elif match and not line.startswith("#") and not match[2]:
            line = f"{match[1]}={secrets.token_hex(10 if 'ACCESS_KEY_ID' in line or 'USER' in line else 20)}"
        lines.append(line)
    return "\n".join([*lines, *given.values()]) + "\n"


def main() -> None:
    env = ROOT / ".env"
    text = filled((ROOT / ".env.example").read_text(), env.read_text() if env.exists() else "")
    env.touch(mode=0o600)
    env.chmod(0o600)
    env.write_text(text)
    print(f"{env} has a value for every password and key", file=sys.stderr)


if __name__ == "__main__":
    main()
