"""What the users of a Redis server may touch: rules for its access lists, from every domain's ``keys.OWNED``."""

from importlib import import_module
from typing import Annotated

from typer import Option, echo

from lastro.core.plugins import plugs

COMMANDS = (
    *("-@all", "+@read", "+@write", "+@stream", "+@transaction", "+@connection", "+@blocking"),
    *("-@dangerous", "-@admin", "-@geo", "-@hyperloglog", "-@bitmap"),
    *("+evalsha", "+eval", "+script|load", "+script|exists", "+time", "+wait", "+setrange", "+getrange"),
    *("+info", "+config|get", "+command", "+cluster|slots", "+cluster|nodes", "+cluster|shards", "+cluster|info"),
    *("+cluster|myid", "+cluster|keyslot", "+role", "+client|id", "+client|unblock"),
)
"""What an engine asks of a server. ``INFO`` tells its version and mode, ``CONFIG GET`` whether it syncs to disk."""


def patterns(domain: str) -> tuple[str, ...]:
    """The keys of a domain, and of core."""
    owned: tuple[str, ...] = import_module(f"lastro.{domain}.keys").OWNED
    return owned


def rules(keys: tuple[str, ...]) -> str:
    """For a user that has these keys and no others."""
    return " ".join(["resetkeys", "resetchannels", *(f"~{key}" for key in dict.fromkeys(keys)), *COMMANDS])


def lines() -> list[str]:
    """One user for each domain installed, and ``lastro`` for all of them in one process."""
    domains = sorted(plugs("lastro.commands"))
    keys = {f"lastro-{domain}": (*patterns("core"), *patterns(domain)) for domain in domains}
    keys = {"lastro": (*patterns("core"), *(key for domain in domains for key in patterns(domain))), **keys}
    return [f"user {name} on {rules(owned)}" for name, owned in keys.items()]


def acl(
    keys: Annotated[list[str] | None, Option("--keys", help="further keys that all of them may touch")] = None,
) -> None:
    """Rules for the server's ``aclfile``; users have no password yet: ACL SETUSER <name> '><password>'."""
    more = "".join(f" ~{key}" for key in keys or ())
    for line in lines():
        echo(f"{line}{more}")
