"""Who asks, and how often: a user's and an address's attempts, counted in this process before anything is asked."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from lastro.core.errors import Misconfigured
from lastro.coupons.engine.throttle import Left, Throttle
from lastro.coupons.settings import CouponsSettings

Headers = list[tuple[bytes, bytes]]
Address = IPv4Address | IPv6Address
SITE_BITS = 64  # of an IPv6 address: whoever has one has all that begin as it does


class Edge:
    """The limits of one process. ``X-Forwarded-For`` is believed from trusted proxies alone."""

    def __init__(self, settings: CouponsSettings) -> None:
        self.trusted = _networks(settings.trusted_proxies)
        self.user = _throttle("user", settings.user_per_second, settings.user_burst)
        self.address = _throttle("address", settings.address_per_second, settings.address_burst)

    def take(self, user_id: str, scope: Scope) -> Headers:
        """Let this attempt through or raise TooFast; the RateLimit headers it gets."""
        headers: Headers = []
        if self.address is not None:
            peer = scope["client"][0] if scope.get("client") else ""
            lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            client = self.client_of(peer, b",".join(lines).decode("latin-1"))
            headers += told(self.address, self.address.take(client))
        if self.user is not None:
            headers += told(self.user, self.user.take(user_id))
        return headers

    def client_of(self, peer: str, forwarded: str) -> str:
        """The last address of the chain that no proxy of ours added; of an IPv6 one what is its owner's.

        What is no address ends the chain: it is counted as whoever passed it on.
        """
        client = _address(peer)
        trusted = self._trusts(client) if peer else bool(self.trusted)  # a unix socket: a balancer of this machine
        for hop in reversed(forwarded.split(",")):
            before = _address(hop.strip()) if trusted else None
            if before is None:
                break
            client, trusted = before, self._trusts(before)
        return peer if client is None else _counted(client)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.trusted)


def _address(hop: str) -> Address | None:
    """As proxies write it, with a port or without: ``1.2.3.4:5``, ``[2001:db8::1]:5``."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        address = ip_address(hop)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), SITE_BITS), strict=False))


def told(throttle: Throttle, left: Left) -> Headers:
    """``RateLimit-Policy`` and ``RateLimit`` (IETF draft 11)."""
    policy = f'"{throttle.policy}";q={throttle.burst};w={throttle.window_seconds}'
    rest = f'"{throttle.policy}";r={left.rest};t={left.refill_seconds}'
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", rest.encode())]


def _throttle(policy: str, per_second: float, burst: int) -> Throttle | None:
    return Throttle(policy, per_second, burst) if per_second else None


def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise Misconfigured(setting="LASTRO_COUPONS_TRUSTED_PROXIES", reason=str(error)) from None
