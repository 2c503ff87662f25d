"""Gives .env a random value for every password and key of .env.example that it has none for: `make env`.

What is in .env stays as it is, letter by letter; what it lacks is added.
"""

import re
import secrets
import sys
from pathlib import Path

from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent


def added(example: str, given: dict[str, str | None]) -> list[str]:
    """The lines of the example for what is not given, values filled in; its comments go with an .env that is new."""
    lines = []
    for line in example.splitlines():
        match = re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", line)
        if match is None:
            lines += [] if given else [line]
        elif not given.get(match[1]):
            short = match[1].endswith(("ACCESS_KEY_ID", "USER"))
            lines.append(f"{match[1]}={match[2] or secrets.token_hex(10 if short else 20)}")
    return lines


def main() -> None:
    env = ROOT / ".env"
    text = env.read_text() if env.exists() else ""
    lines = added((ROOT / ".env.example").read_text(), dotenv_values(env) if text else {})
    if text and lines:
        text = text.rstrip("\n") + "\n"
    unfinished = env.with_name(".env.new")
    unfinished.unlink(missing_ok=True)  # one that is there may be readable by everybody, and opened by somebody
    unfinished.touch(mode=0o600, exist_ok=False)
    unfinished.write_text(text + "".join(f"{line}\n" for line in lines))
    unfinished.replace(env)
    print(f"{env} has a value for every password and key", file=sys.stderr)


if __name__ == "__main__":
    main()
