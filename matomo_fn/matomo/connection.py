"""Connections that one exchange may use: bounded in time as a whole, and to addresses that may be reached.

A timeout of a socket is for one read, and starts again with each byte: a server that sends one byte a second keeps a
call for hours. An `Exchange` therefore shuts its connection down when its time is up, whatever it is waiting for.
"""

import contextlib
import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from matomo_fn.matomo.name_lookup import look_up

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds tell a machine its credentials, besides the link-local addresses (169.254.169.254 of most, fe80::/10):
# Google's and Amazon's for IPv6, Alibaba's, Azure's and Oracle's for IPv4; and the names that are known for them.
_METADATA_NAMES = frozenset(
    {"metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"}
)
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("fd20:ce::254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# IPv4 addresses within IPv6 ones, as their last 32 bits: NAT64 (RFC 6052, RFC 8215), translated (RFC 2765) and the
# compatible ones of before (RFC 4291).
_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/96", "::ffff:0:0:0/96", "::/96")))

# It logs headers that it cannot read, with a traceback: what a server sent would stand in our logs as it is.
logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)

_present = threading.local()


class AddressRefusedError(Exception):
    """A connection would go where none may go."""


def never_connected(error: BaseException) -> bool:
    """Return whether an error of a call says that there was no connection, and so nothing was sent."""
    cause = next(iter(error.args), None)
    reason = getattr(cause, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


class Exchange:
    """One call and its answer: a block that has ``seconds`` in all, from the first connection to the last byte.

    When they are over the connection is shut down, and what waits for it fails; ``is_over`` then says why.
    ``allow_private``: whether connections may go to addresses that are not public.
    """

    def __init__(self, seconds: float, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        self._end = monotonic() + seconds
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True
        self.is_over = False

    def __enter__(self) -> Self:
        _present.exchange = self
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _present.exchange = None
        self._take(None)  # a timer that has just begun finds nothing to shut down

    def remaining(self) -> float:
        """Return the seconds until it is over; always more than 0."""
        return max(0.001, self._end - monotonic())

    def watch(self, descriptor: int) -> None:
        """Take the connection that is to be shut down, by a descriptor of its own: TLS and `close` change the other."""
        self._take(socket.socket(fileno=os.dup(descriptor)))
        if self.is_over:
            self._shut_down()

    def _take(self, handle: socket.socket | None) -> None:
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = handle

    def _shut_down(self) -> None:
        with self._lock:
            self.is_over = True
            if self._handle is not None:
                # The other side may have been quicker.
                with contextlib.suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)


def refuse_name(host: str) -> None:
    """Raise AddressRefusedError for a host that is a cloud's metadata server by its name or its number.

    Behind a proxy that is all there is to look at, since the proxy resolves the name.
    """
    name = unquote(host).rstrip(".").lower()
    if name in _METADATA_NAMES:
        raise AddressRefusedError(_metadata(host))
    try:
        address: IPAddress = ipaddress.ip_address(socket.inet_aton(name))  # also 2852039166 and 0xa9fea9fe
    except OSError:
        try:
            address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
        except ValueError:
            return
    _refuse_metadata(address)


def refuse_address(text: str, *, allow_private: bool) -> None:
    """Raise AddressRefusedError for the number of a metadata server, or one that is not public where that is asked."""
    address = ipaddress.ip_address(text.partition("%")[0])
    _refuse_metadata(address)
    plain = _plain(address)
    if not allow_private and (not plain.is_global or plain.is_multicast):
        raise AddressRefusedError(
            f"its address {plain} is not public, and MATOMO_FN_ALLOW_PRIVATE_ADDRESSES is false: check matomo_url, or "
            "set it to true"
        )


def _refuse_metadata(address: IPAddress) -> None:
    plain = _plain(address)
    if plain.is_link_local or plain in _METADATA:
        raise AddressRefusedError(_metadata(str(plain)))


def _metadata(host: str) -> str:
    return f"{host} is a cloud's metadata server or link-local, where no Matomo is: check matomo_url"


def _plain(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if any(address in network for network in _WITH_IPV4) and int(address) > 0xFFFF:  # not :: and ::1
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour:
            return address.sixtofour
    return address


class _Watched(HTTPConnection):
    """A connection that the present exchange of its thread may shut down."""

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; all of them are looked at before any is connected to.

        So a name that resolves otherwise the second time gains nothing: what was looked at is what is connected to.
        """
        exchange: Exchange = _present.exchange
        connect_timeout = cast("float", self.timeout)
        failure: OSError = OSError("the name has no address")
        for address in self._addresses(exchange):
            try:
                connection = create_connection(
                    (address, self.port or self.default_port),
                    min(connect_timeout, exchange.remaining()),
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as error:
                failure = error
                continue
            exchange.watch(connection.fileno())
            return connection
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from failure
        raise NewConnectionError(self, f"Failed to establish a new connection: {failure}") from failure

    def _addresses(self, exchange: Exchange) -> Iterator[str]:
        host = self._dns_host.strip("[]")
        seconds = min(cast("float", self.timeout), exchange.remaining())
        try:
            addresses = look_up(host, self.port or self.default_port, seconds)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]  # only shown
        if self.proxy is None:
            refuse_name(host)
            for address in addresses:
                refuse_address(address, allow_private=exchange.allow_private)
        return iter(addresses)

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; a connection that is used once more is watched once more."""
        if self.sock is not None:
            _present.exchange.watch(self.sock.fileno())
        super().request(*args, **kwargs)


class _WatchedTLS(_Watched, HTTPSConnection):
    """The same with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


_POOLS = {"http": _Pool, "https": _TLSPool}


class WatchedAdapter(HTTPAdapter):
    """Makes the connections of a session ones that an `Exchange` bounds; used within one only."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request, unless its host may not be connected to: as it goes out, also to a proxy."""
        refuse_name(urlsplit(request.url or "").hostname or "")
        return super().send(request, *args, **kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Prepare connections to Matomo itself."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare connections to a proxy of the environment."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
