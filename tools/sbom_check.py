"""For sbom.sh: whether a bill of materials lists what a package depends on."""

import json
import subprocess
import sys

package, path = sys.argv[1:]
metadata = json.loads(
    subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"], check=True, capture_output=True
    ).stdout
)
manifest = next(it for it in metadata["packages"] if it["name"] == package)
wanted = {it["name"] for it in manifest["dependencies"] if it["kind"] is None and not it["optional"]}
with open(path, encoding="utf-8") as file:
    bill = json.load(file)
listed = {it["name"] for it in bill["components"]}
unnamed = [it["name"] for it in bill["components"] if not it.get("version")]
missing = sorted(wanted - listed)
if len(wanted) < 5 or missing or unnamed:
    sys.exit(f"sbom: {package}: not listed: {missing}; without a version: {unnamed}")
print(f"{path}: {len(listed)} components, among them all {len(wanted)} that {package} names itself")
