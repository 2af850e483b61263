"""Ask the package index whether what is locked has known holes: 1 if so; 0 if not, or if it cannot be asked."""

import json
import subprocess
import sys
from pathlib import Path

LOCKS = ("requirements.lock", "requirements-uv.lock", "requirements-legs.lock")
"""Of requirements-run.lock all is in the first."""
TOOL = Path(sys.executable).parent / "pip-audit"
SECONDS_MAX = 45  # for an index that does not answer


def main() -> int:
    """Print a line for each hole, and one for what could not be asked."""
    command = [str(TOOL), "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    locks = [word for lock in LOCKS for word in ("-r", lock)]
    try:
        told = subprocess.run([*command, *locks], capture_output=True, text=True, check=False, timeout=SECONDS_MAX)  # noqa: S603  # ours
        packages = json.loads(told.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        print("audit: not done, the index's advisories cannot be reached from here")
        return 0
    holes = [(package, hole) for package in packages for hole in package.get("vulns", ())]
    for package, hole in holes:
        print(f"audit: {package['name']} {package['version']}: {hole['id']}, fixed in {hole['fix_versions']}")
    unasked = sum("skip_reason" in package for package in packages)
    why = "; this index has no advisories on the others" if unasked else ""
    print(f"audit: {len(packages) - unasked} of {len(packages)} packages looked up, {len(holes)} holes{why}")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
