"""Gives .env a random value for every password and key of .env.example that it has none for: `make env`.

What is in .env stays as it is, letter by letter; what it lacks is added. Then each secret of docker-compose.yml is
written to a file of its own in .secrets/, and DVC is told where the stack's S3 is, in .dvc/config.local.
"""

import re
import secrets
import subprocess
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


def write_secrets(values: dict[str, str]) -> None:
    """Others may read the files and not enter the folder: a container has its own user, who gets the file alone."""
    folder = ROOT / ".secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for name in re.findall(r"file: \.\./\.secrets/(\w+)", (ROOT / "compose" / "docker-compose.yml").read_text()):
        unfinished = folder / f".{name}"
        unfinished.write_text(values.get(name.upper(), ""))
        unfinished.chmod(0o444)
        unfinished.replace(folder / name)


def tell_dvc(port: str) -> None:
    """The endpoint for `dvc push --remote minio` by hand; keys stay in .env."""
    url = f"http://127.0.0.1:{port}"
    local = ROOT / ".dvc" / "config.local"
    if not local.parent.is_dir() or (local.exists() and f"endpointurl = {url}\n" in local.read_text()):
        return
    told = [sys.executable, "-m", "dvc", "remote", "modify", "--local", "minio", "endpointurl", url]
    subprocess.run(told, cwd=ROOT, check=True, capture_output=True)
    local.chmod(0o600)


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
    values = {name: value or "" for name, value in dotenv_values(env).items()}
    write_secrets(values)
    tell_dvc(values.get("MINIO_PORT") or "9000")
    print(f"{env} has a value for every password and key", file=sys.stderr)


if __name__ == "__main__":
    main()
