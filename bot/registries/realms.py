"""Token servers that may see a registry's credentials although they are not the registry itself."""

from __future__ import annotations

from bot.registries.rules import Allowed

_HOSTS = {
    "registry-1.docker.io": ("auth.docker.io",),
    "registry.gitlab.com": ("gitlab.com",),
}
"""By API host.  GHCR, Quay, MCR, ECR Public, Artifact Registry, ACR, Artifactory and Harbor serve their
tokens from their own host and need no line; ECR asks for Basic."""


def may_see_credentials(realm: Allowed, registry: Allowed, configured: frozenset[Allowed]) -> bool:
    """Return whether credentials for `registry` may be sent to the token server `realm`."""
    if realm in (registry, *configured):
        return True
    known = _HOSTS.get(registry.host, ())
    return registry.scheme == realm.scheme == "https" and realm.port == 443 and realm.host in known
