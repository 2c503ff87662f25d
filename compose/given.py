"""What each process of the stack is given: variables of its own, and nothing else of .env.

In a container a value comes from a file of /run/secrets, which `docker inspect` does not show. `make stack` calls this
file as `python compose/given.py NAME … -- command`, which runs the command with these variables of .env alone.
"""

import os
import sys
from pathlib import Path

SECRETS = Path("/run/secrets")
ROOT = Path(__file__).resolve().parent.parent
SYSTEM = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "SYSTEMROOT")


def given(name: str) -> str:
    """The value of a variable, or the content of its file; empty where there is none."""
    file = SECRETS / name.lower()
    return os.environ.get(name) or (file.read_text().strip() if file.is_file() else "")


def main(arguments: list[str]) -> None:
    from dotenv import dotenv_values

    at = arguments.index("--")
    values = {**dotenv_values(ROOT / ".env"), **os.environ}
    own = {name: value for name in (*arguments[:at], *SYSTEM) if (value := values.get(name))}
    os.execvpe(arguments[at + 1], arguments[at + 1 :], own)  # noqa: S606 (a command of compose/Procfile)


if __name__ == "__main__":
    main(sys.argv[1:])
