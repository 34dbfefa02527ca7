"""`make lock-images`: the base images of docker/images.lock, as their registry has them now, beside what is locked.

A registry answers by the Docker Registry HTTP API V2: a manifest by its tag, after a token that its 401 says where to get. The
digest of a manifest is the sha256 of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from magicoder_repro.environment import ROOT
from magicoder_repro.errors import EXIT_BAD_RESULT, EXIT_DONE, EXIT_USAGE

LOCK = ROOT / "docker" / "images.lock"
_KINDS = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_API = {"docker.io": "registry-1.docker.io"}
_SECONDS = 30
_MOST_BYTES = 1 << 22


@dataclass(frozen=True)
class Image:
    """One entry of the lock. `index`: the digest of the manifest of every architecture; None where it is unresolved."""

    name: str
    tag: str
    index: str | None = None
    amd64: str | None = None
    evidence: Sequence[str] = ()

    @property
    def base(self) -> str:
        """As `ARG BASE` of a Dockerfile has it."""
        return f"{self.name}:{self.tag}" + (f"@{self.index}" if self.index else "")


def locked(path: Path = LOCK) -> list[Image]:
    """The entries of a lock."""
    return [Image(**entry) for entry in tomllib.loads(path.read_text())["image"]]


def resolve(image: Image) -> Image:
    """The same tag with the digests that the registry has now; OSError when it cannot be asked."""
    host, _, repository = image.name.partition("/")
    scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    content = _manifest(f"{scheme}://{_API.get(host, host)}/v2/{repository}/manifests/{image.tag}")
    manifests = json.loads(content).get("manifests", ())
    amd64 = [one["digest"] for one in manifests if one["platform"] == {"architecture": "amd64", "os": "linux"}]
    index = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Image(image.name, image.tag, index, amd64[0] if amd64 else None)


def _manifest(url: str) -> bytes:
    headers = {"Accept": ", ".join(_KINDS)}
    try:
        return _get(url, headers)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        asked = dict(re.findall(r'(\w+)="([^"]*)"', error.headers.get("WWW-Authenticate", "")))
    if "realm" not in asked:
        raise OSError(f"{url}: needs a login that is no token's")
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    reply = json.loads(_get(f"{asked['realm']}?{query}", {}))
    return _get(url, {**headers, "Authorization": f"Bearer {reply.get('token') or reply['access_token']}"})


def _get(url: str, headers: dict[str, str]) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SECONDS) as reply:
        content: bytes = reply.read(_MOST_BYTES)
        return content


def compare(path: Path = LOCK) -> int:
    """Prints a line an image; the exit code: 1 when one differs or is unresolved."""
    different = 0
    for image in locked(path):
        found = resolve(image)
        if found.index == image.index and image.amd64 in (None, found.amd64):
            print(f"{image.base}: as locked")
            continue
        different += 1
        was = "unresolved in the lock" if image.index is None else f"locked as {image.index} (amd64 {image.amd64})"
        print(f"{image.name}:{image.tag}: {was}; the registry has {found.index} (amd64 {found.amd64})")
    return EXIT_BAD_RESULT if different else EXIT_DONE


def main() -> int:
    """`python -m magicoder_repro.images`"""
    try:
        return compare()
    except OSError as error:
        print(f"error: docker/images.lock cannot be compared: {error}: is the registry reachable?", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
