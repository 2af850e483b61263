"""Who asks, and how often: a user's and an address's attempts, counted in this process before anything is asked."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from lastro.core.errors import Misconfigured
from lastro.coupons.engine.throttle import Left, Throttle
from lastro.coupons.settings import CouponsSettings

Headers = list[tuple[bytes, bytes]]


class Edge:
    """The limits of one process. ``X-Forwarded-For`` is believed from trusted proxies alone."""

    def __init__(self, settings: CouponsSettings) -> None:
        self.trusted = _networks(settings.trusted_proxies)
        self.user = _throttle("user", settings.user_per_second, settings.user_burst)
        self.address = _throttle("address", settings.address_per_second, settings.address_burst)

    def take(self, user_id: str, peer: str, forwarded: str) -> Headers:
        """Let this attempt through or raise TooFast; the RateLimit headers it gets."""
        headers: Headers = []
        for throttle, client in ((self.address, peer), (self.user, user_id)):
            if throttle is None:
                continue
            if throttle is self.address and forwarded:
                client = self.client_of(peer, forwarded)  # noqa: PLW2901  # who it really is
            headers += told(throttle, throttle.take(client))
        return headers

    def client_of(self, peer: str, forwarded: str) -> str:
        """The last address of the chain that no proxy of ours added."""
        client = peer
        for hop in reversed(forwarded.split(",")):
            if not self._trusts(client):
                break
            client = hop.strip()
        return client

    def _trusts(self, address: str) -> bool:
        if not address:
            return bool(self.trusted)  # a unix socket: only a balancer of this machine has it
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.trusted)


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
