"""Print requirements.lock: exact versions of what is installed here, with the markers that pull them in."""

from __future__ import annotations

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# The two wheels that both provide `faiss`; only one of them can be installed where this runs.
TWINS = {"faiss-gpu": "faiss-cpu"}
GPU_WHEELS = "sys_platform == 'linux' and platform_machine == 'x86_64'"
ELSEWHERE = "sys_platform != 'linux' or platform_machine != 'x86_64'"
# CUDA's own wheels exist for Linux alone, whatever the extras say that ask for them.
LINUX_ONLY = re.compile(r"nvidia-|cuda-|triton$|faiss-gpu$")


def walk(root: str, extras: set[str]) -> dict[str, str]:
    """Every installed package that the root needs on this machine, by name, with its version."""
    found: dict[str, str] = {}
    queue = [(root, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        name, wanted = queue.pop()
        if (name, frozenset(wanted)) in seen:
            continue
        seen.add((name, frozenset(wanted)))
        package = distribution(name)
        found[canonicalize_name(name)] = package.version.split("+")[0]
        for line in package.requires or []:
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in wanted | {""}):
                queue.append((need.name, set(need.extras)))
    return found


def lines(packages: dict[str, str]) -> list[str]:
    """One requirement a line, sorted."""
    out = []
    for name, version in sorted(packages.items()):
        out.append(f"{name}=={version}" + (f" ; {GPU_WHEELS}" if LINUX_ONLY.match(name) else ""))
        if name in TWINS:
            out.append(f"{TWINS[name]}=={version} ; {ELSEWHERE}")
    return out


if __name__ == "__main__":
    packages = walk("auditor", {"dev"})
    del packages["auditor"]
    print("# exact versions for `make`; refresh with: make lock")
    print("\n".join(sorted([*lines(packages), "hatchling==" + distribution("hatchling").version])))
