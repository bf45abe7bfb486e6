"""Who a call is of, and when and where it happened: parameters that each hit of a call has."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha1, sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.device import device_parameters
from matomo_fn.events.fields import as_text, at
from matomo_fn.events.model import Call
from matomo_fn.events.page_url import page_parameters
from matomo_fn.events.pageview_id import pageview_id
from matomo_fn.events.stored import whole_id

# Tracker::LENGTH_HEX_ID_STRING, and the column user_id of Matomo.
_VISITOR_ID, _USER_ID = 16, 200
# What stays of a masked address: all but two bytes of IPv4, which is Matomo's own default, and what it leaves of IPv6
# then.
_MASKS = {4: 0xFFFF0000, 6: 0xFFFFFFFFFFFF << 80}


def common_parameters(call: Call, config: EventsConfig) -> dict[str, str]:
    """Return what all hits of a call have: site, visitor, time, address, device and page."""
    return {
        "idsite": config.site,
        "rec": "1",
        "apiv": "1",
        "send_image": "0",
        "pv_id": pageview_id(call.message_id),
        "cdt": call.occurred_at.replace(tzinfo=None).isoformat(" ", "seconds"),
        **_local_time(call),
        **_ids(call),
        **_address(call, config.ip),
        **device_parameters(call),
        **page_parameters(call),
    }


def visitor_id(call: Call) -> str:
    """Return the id of the visitor of a call, 16 hexadecimal digits.

    Without an anonymous id it is the one that Matomo derives of the user id (core/Tracker/Request.php,
    getUserIdHashed), so that it is the same with and without enable_userid_overwrites_visitorid.
    """
    if call.anonymous_id:
        return sha256(call.anonymous_id.encode()).hexdigest()[:_VISITOR_ID]
    return sha1(_user_id(call).encode(), usedforsecurity=False).hexdigest()[:_VISITOR_ID]


def _ids(call: Call) -> dict[str, str]:
    found = visitor_id(call)
    # cid says that the id is certain. With _id alone, Matomo puts a visitor whose id it has not seen into a visit of
    # the last 30 minutes from the same address and browser: with calls that have neither, into anybody's
    # (core/Tracker/VisitorRecognizer.php, shouldLookupOneVisitorFieldOnly).
    ids = {"_id": found, "cid": found}
    return ids | {"uid": _user_id(call)} if call.user_id else ids


def _user_id(call: Call) -> str:
    return whole_id(call.user_id, _USER_ID)


def _address(call: Call, ip: str) -> Mapping[str, str]:
    if ip == "none":
        return {}
    try:
        address = ip_address(as_text(at(call.data, "context.ip")))
    except ValueError:
        return {}
    if isinstance(address, IPv6Address):
        # Of an address with a zone, such as fe80::1%eth0, only the machine itself can make something.
        address = address.ipv4_mapped or IPv6Address(int(address))
    if ip == "masked":
        masked = int(address) & _MASKS[address.version]
        address = IPv4Address(masked) if address.version == 4 else IPv6Address(masked)
    return {"cip": str(address)}


def _local_time(call: Call) -> Mapping[str, str]:
    local = _local(call.occurred_at, as_text(at(call.data, "context.timezone")))
    return {} if local is None else {"h": str(local.hour), "m": str(local.minute), "s": str(local.second)}


def _local(moment: datetime, zone: str) -> datetime | None:
    if not zone:
        return None
    try:
        return moment.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return None
