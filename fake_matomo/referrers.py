"""The referrer reports: channels, search engines, websites, social networks, campaigns, and all of them."""

from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote

from fake_matomo.language import CHANNEL_CODES, Language
from fake_matomo.pools import CAMPAIGN, SEARCH, SEARCH_ENGINES, SOCIAL, SOCIALS, WEBSITE
from fake_matomo.tables import ICONS, Table
from fake_matomo.tallies import Key, Row
from fake_matomo.visits import Visit


def _channel_meta(key: Key, _language: Language) -> Row:
    number = int(str(key[0]))
    row: Row = {"segment": f"referrerType=={CHANNEL_CODES[number]}", "referrer_type": number}
    if number != 1:
        row["idsubdatatable"] = number
    return row


def _channel_flat(key: Key, language: Language) -> Row:
    row = _channel_meta(key, language)
    row.pop("idsubdatatable", None)
    return row


def _of_channel(channel: int) -> Callable[[Visit], Key | None]:
    def key(visit: Visit) -> Key | None:
        return (visit.referrer.name,) if visit.referrer.type == channel else None

    return key


def _of_channel_flat(channel: int, field: str) -> Callable[[Visit], Key | None]:
    def key(visit: Visit) -> Key | None:
        referrer = visit.referrer
        return (referrer.name, getattr(referrer, field)) if referrer.type == channel else None

    return key


def _first(key: Key, _language: Language) -> str:
    return str(key[0])


def _campaign_segment(name: str) -> str:
    return f"referrerType==campaign;referrerName=={quote_plus(name)}"


def _campaign_meta(key: Key, _language: Language) -> Row:
    return {"segment": _campaign_segment(str(key[0]))}


def _campaign_label_flat(key: Key, _language: Language) -> str:
    return f"{key[0]} - {key[1]}" if key[1] else str(key[0])


def _campaign_flat(key: Key, _language: Language) -> Row:
    name, keyword = str(key[0]), str(key[1] or "")
    if not keyword:
        return {"segment": _campaign_segment(name), "Referrers_Campaign": name}
    # The name is not encoded here, but is elsewhere, as in flat_Referrers.getCampaigns.
    inner = f"referrerType==campaign;referrerKeyword=={quote_plus(keyword)}"
    return {
        "segment": f"referrerType==campaign;referrerName=={name};{inner}",
        "Referrers_Campaign": name,
        "Referrers_Keyword": keyword,
    }


def _engine_meta(key: Key, _language: Language) -> Row:
    name = str(key[0])
    return {
        "segment": f"referrerType==search;referrerName=={quote_plus(name)}",
        "url": SEARCH_ENGINES[name][0],
        "logo": f"{ICONS}searchEngines/xx.png",
        "idsubdatatable": 1 + list(SEARCH_ENGINES).index(name),
    }


def _keyword(value: object, language: Language) -> str:
    return str(value) if value else language.keyword_not_defined


def _engine_label_flat(key: Key, language: Language) -> str:
    return f"{key[0]} - {_keyword(key[1], language)}"


def _engine_flat(key: Key, language: Language) -> Row:
    name = str(key[0])
    url = SEARCH_ENGINES[name][1].format(quote_plus(str(key[1]))) if key[1] else _FAQ_KEYWORDS
    return {
        "url": url,
        "logo": f"{ICONS}searchEngines/xx.png",
        "Referrers_SearchEngine": name,
        "Referrers_Keyword": _keyword(key[1], language),
    }


_FAQ_KEYWORDS = "https://matomo.org/faq/general/faq_144"


def _website_meta(key: Key, _language: Language) -> Row:
    name = str(key[0])
    return {"segment": f"referrerName=={quote_plus(name)}", "idsubdatatable": 1 + sum(map(ord, name)) % 97}


def _website_label_flat(key: Key, _language: Language) -> str:
    return str(key[1]).partition("://")[2]


def _website_flat(key: Key, _language: Language) -> Row:
    name, url = str(key[0]), str(key[1])
    page = url.partition("://")[2].partition("/")[2]
    return {"url": url, "Referrers_Website": name, "Referrers_WebsitePage": unquote(page)}


def _social_meta(key: Key, _language: Language) -> Row:
    name = str(key[0])
    return {
        "url": SOCIALS[name],
        "logo": f"{ICONS}socials/xx.png",
        "segment": f"referrerType==social;referrerName=={quote(name)}",
        "idsubdatatable": 1 + list(SOCIALS).index(name),
    }


def _social_label_flat(key: Key, _language: Language) -> str:
    return f"{key[0]} - {key[1]}"


def _social_flat(key: Key, language: Language) -> Row:
    row = _social_meta(key, language)
    del row["idsubdatatable"]
    return {**row, "Referrers_SocialNetwork": key[0], "Referrers_WebsitePage": key[1]}


def _referrer_key(visit: Visit) -> Key | None:
    """Return the key in `Referrers.getAll`, which mixes keywords, websites, campaigns and networks."""
    referrer = visit.referrer
    if referrer.type == SEARCH:
        return (referrer.type, referrer.keyword or "")
    return (referrer.type, referrer.name) if referrer.type != 1 else None


def _referrer_label(key: Key, language: Language) -> str:
    return _keyword(key[1], language) if key[0] == SEARCH else str(key[1])


def _referrer_meta(key: Key, language: Language) -> Row:
    name = (key[1],)
    if key[0] == SEARCH:
        row: Row = {"segment": f"referrerType==search;referrerKeyword=={quote_plus(str(key[1]))}"}
    elif key[0] == WEBSITE:
        row = _website_meta(name, language)
    elif key[0] == SOCIAL:
        row = _social_meta(name, language)
    else:
        row = {"segment": _campaign_segment(str(key[1]))}
    row.pop("idsubdatatable", None)
    return {**row, "referer_type": key[0]}


def _referrer_flat(key: Key, language: Language) -> Row:
    return {**_referrer_meta(key, language), "Referrers_Referrer": _referrer_label(key, language)}


CHANNELS = Table(
    key=lambda visit: (visit.referrer.type,),
    label=lambda key, language: language.channel(int(str(key[0]))),
    meta=_channel_meta,
    flat_meta=_channel_flat,
)
CAMPAIGNS = Table(
    key=_of_channel(CAMPAIGN),
    label=_first,
    meta=_campaign_meta,
    flat_key=_of_channel_flat(CAMPAIGN, "keyword"),
    flat_label=_campaign_label_flat,
    flat_meta=_campaign_flat,
    # Only a campaign with keywords has a subtable.
    source=lambda visit: visit.referrer.keyword or "",
    subtable=lambda key: 1 + sum(map(ord, str(key[0]))) % 97,
)
ENGINES = Table(
    key=_of_channel(SEARCH),
    label=_first,
    meta=_engine_meta,
    flat_key=_of_channel_flat(SEARCH, "keyword"),
    flat_label=_engine_label_flat,
    flat_meta=_engine_flat,
    flat_goals=False,
)
WEBSITES = Table(
    key=_of_channel(WEBSITE),
    label=_first,
    meta=_website_meta,
    flat_key=_of_channel_flat(WEBSITE, "url"),
    flat_label=_website_label_flat,
    flat_meta=_website_flat,
    flat_goals=False,
)
NETWORKS = Table(
    key=_of_channel(SOCIAL),
    label=_first,
    meta=_social_meta,
    flat_key=_of_channel_flat(SOCIAL, "url"),
    flat_label=_social_label_flat,
    flat_meta=_social_flat,
    flat_goals=False,
)
ALL_REFERRERS = Table(
    key=_referrer_key,
    label=_referrer_label,
    meta=_referrer_meta,
    flat_meta=_referrer_flat,
)
