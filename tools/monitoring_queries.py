"""For monitoring-test.sh: makes a little load, then runs each query and says which finds no data."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

WAIT_SECONDS_MAX = 180
DASHBOARD = "config/monitoring/grafana/dashboards/profile-service.json"
ALERTS = "config/monitoring/alerts.yml"
COMPARISON = re.compile(r"\s*(==|!=|>=|<=|>|<)\s*[0-9.]+$")


def queries():
    with open(DASHBOARD, encoding="utf-8") as file:
        for panel in json.load(file)["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]
    with open(ALERTS, encoding="utf-8") as file:
        for expression in re.findall(r"^\s+expr: (.+)$", file.read(), re.MULTILINE):
            # A healthy service raises no alert: what is compared must be there all the same.
            compared, count = COMPARISON.subn("", expression)
            assert count == 1, f"an alert compares with a number: {expression}"
            yield "alert", compared


def finds_data(prometheus, query):
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    return any(series["value"][1] != "NaN" for series in result)


def load(env, number):
    """A creation (refused but for the first), a change and a read."""
    names = f"--first-name Load --last-name User --nick-name n{number}"
    script = (
        f". {env}; profilectl create --user-id load --user-name load --email load@example.org {names}; "
        f"profilectl update load {names}; profilectl get load"
    )
    quiet = subprocess.DEVNULL
    subprocess.run(["bash", "-c", script], check=False, stdout=quiet, stderr=quiet)


def main():
    prometheus, env = sys.argv[1:]
    wanted = list(queries())
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    number = 0
    while True:
        number += 1
        load(env, number)
        try:
            missing = [(title, query) for title, query in wanted if not finds_data(prometheus, query)]
        except (OSError, KeyError):
            missing = wanted
        if not missing:
            break
        if time.monotonic() > deadline:
            for title, query in missing:
                print(f"no data: {title}: {query}", file=sys.stderr)
            sys.exit(1)
        time.sleep(1)
    print(f"{len(wanted)} queries find data")


main()
