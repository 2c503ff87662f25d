"""The MLflow server's user for runs, where it asks for a login; made by its administrator, who does nothing else.

`python users.py <server>` waits for the server and makes the user, as often as you like; with `--check` it says by its
exit code whether the server is healthy and lets that user in.
"""

import base64
import json
import sys
import urllib.error
import urllib.request

from given import given  # beside this file

API = "/api/2.0/mlflow"


def asked(url: str, login: tuple[str, str] | None = None, body: dict | None = None) -> int:
    """The status of one request; 0 where nobody answers."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)  # noqa: S310 (our own server)
    request.add_header("Content-Type", "application/json")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def asks_for_login() -> bool:
    return "basic-auth" in given("MLFLOW_SERVER_OPTIONS")


def user() -> tuple[str, str] | None:
    name, password = given("MLFLOW_TRACKING_USERNAME"), given("MLFLOW_TRACKING_PASSWORD")
    return (name, password) if asks_for_login() and name and password else None


def make(server: str, patience: float = 120) -> None:
    from setup import wait_for  # beside this file; the health check does without what it imports

    wait_for(f"{server}/health", patience)
    login = user()
    if login is None:
        return
    admin = given("MLFLOW_ADMIN_USERNAME"), given("MLFLOW_ADMIN_PASSWORD")
    status = asked(f"{server}{API}/users/create", admin, {"username": login[0], "password": login[1]})
    if status not in (200, 400):  # 400: there is such a user
        sys.exit(f"{server} answers {status}, and makes no user {login[0]}")
    if not lets_in(server, login):
        sys.exit(f"{server} has a user {login[0]} with another password")


def lets_in(server: str, login: tuple[str, str]) -> bool:
    return asked(f"{server}{API}/experiments/search?max_results=1", login) == 200


def healthy(server: str) -> bool:
    if asked(f"{server}/health") != 200:
        return False
    login = user()
    return login is None or lets_in(server, login)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(not healthy(sys.argv[1]))
    make(sys.argv[1])
