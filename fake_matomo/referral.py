"""Where a hit came from: campaign, search engine, network, website; and the page's URL without what only says that."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus, urlunsplit

from fake_matomo.php import split_url
from fake_matomo.pools import CAMPAIGN, DIRECT, SEARCH, SOCIAL, SOCIALS, WEBSITE, Referrer

# [Tracker] campaign_var_name and campaign_keyword_var_name; the first that is there is taken.
CAMPAIGN_NAMES = (
    *("pk_cpn", "pk_campaign", "piwik_campaign", "mtm_campaign", "matomo_campaign"),
    *("utm_campaign", "utm_source", "utm_medium"),
)
CAMPAIGN_KEYWORDS = ("pk_kwd", "pk_keyword", "piwik_kwd", "mtm_kwd", "mtm_keyword", "matomo_kwd", "utm_term")
# [Tracker] url_query_parameter_to_exclude_from_url.
_SESSIONS = (
    "gclid,fbclid,msclkid,twclid,wbraid,gbraid,yclid,fb_xd_fragment,fb_comment_id,phpsessid,jsessionid,sessionid,"
    "aspsessionid,doing_wp_cron,sid,pk_vid"
)
_EXCLUDED = frozenset((*CAMPAIGN_NAMES, *CAMPAIGN_KEYWORDS, *_SESSIONS.split(","), "ignore_referrer", "ignore_referer"))
# [Tracker] page_maximum_length.
URL_LENGTH = 1024
# Schemes of `UrlHelper::isLookLikeUrl`.
_SCHEMES = frozenset({"http", "https", "ftp", "ftps", "news"})
_NAME_LENGTH = 255

# The parts of a host that name a search engine, and its parameter of the keyword; None where it discloses none.
_ENGINES = (
    ("google.", "Google", "q"),
    ("bing.com", "Bing", "q"),
    ("duckduckgo.com", "DuckDuckGo", "q"),
    ("yandex.", "Yandex", "text"),
    ("search.yahoo.co.jp", "Yahoo! Japan", "p"),
)
_NETWORKS = (*((host, name) for name, host in SOCIALS.items()), ("t.co", "Twitter"), ("x.com", "Twitter"))


@dataclass(frozen=True, slots=True)
class Origin:
    """What a page's URL and its referrer say; `campaign` is its name and keyword, the latter "" if there is none."""

    campaign: tuple[str, str] | None
    referrer: Referrer
    host: str

    def after(self, current: Referrer | None) -> Referrer:
        """Return the referrer of a hit in a visit with a current one: a campaign keeps the keyword that it had.

        Without a keyword, a campaign's is the host of the referring page.
        """
        if self.campaign is None:
            return self.referrer
        name, keyword = self.campaign
        if not keyword:
            same = current is not None and current.type == CAMPAIGN and current.name == name
            keyword = (current.keyword or "") if same and current else self.host
        return Referrer(CAMPAIGN, name, keyword.lower()[:_NAME_LENGTH], self.referrer.url)


_NOWHERE = Origin(None, Referrer(DIRECT), "")


def campaign_of_hit(name: str, keyword: str) -> Referrer:
    """Return the campaign that a conversion is attributed to by `_rcn` and `_rck`."""
    return Referrer(CAMPAIGN, name.lower()[:_NAME_LENGTH], keyword.lower()[:_NAME_LENGTH], None)


@lru_cache(maxsize=16_384)
def origin_of(url: str, urlref: str, own_host: str) -> Origin:
    """Return what the URL of a page and its referrer say; `own_host` is that of the site's main URL."""
    if not urlref and "=" not in url:
        return _NOWHERE
    split = split_url(url)
    given = dict(parse_qsl(split.query, keep_blank_values=True))
    if "1" in (given.get("ignore_referrer"), given.get("ignore_referer")):
        return _NOWHERE
    if not looks_like_url(urlref):
        urlref = ""
    referring = split_url(urlref)
    host = (referring.hostname or "").lower()
    campaign = _campaign(given) or _campaign(dict(parse_qsl(split.fragment)))
    found = Referrer(DIRECT)
    if host and host not in (own_host, (split.hostname or "").lower()):
        found = _of_host(host, urlref, dict(parse_qsl(referring.query)))
    return Origin(campaign, found, host)


def named_campaign(params: dict[str, str]) -> tuple[str, str] | None:
    """Return the campaign that a hit names by parameters of its own, beside those of its URL."""
    return _campaign(params) if any(map(params.get, CAMPAIGN_NAMES)) else None


def _campaign(given: dict[str, str]) -> tuple[str, str] | None:
    name = next((text for one in CAMPAIGN_NAMES if (text := given.get(one, "").strip())), "")
    if not name:
        return None
    keyword = next((text for one in CAMPAIGN_KEYWORDS if (text := given.get(one, "").strip())), "")
    return name.lower()[:_NAME_LENGTH], keyword.lower()[:_NAME_LENGTH]


def _of_host(host: str, url: str, query: dict[str, str]) -> Referrer:
    for part, name, parameter in _ENGINES:
        if part in f"{host}." and not host.startswith("mail."):
            return Referrer(SEARCH, name, query.get(parameter, "").lower() or None, url)
    for domain, name in _NETWORKS:
        if host == domain or host.endswith(f".{domain}"):
            return Referrer(SOCIAL, name, "", url)
    return Referrer(WEBSITE, host, "", url)


def looks_like_url(text: str) -> bool:
    """Whether Matomo takes a text for a URL."""
    scheme, colon, rest = text.partition("://")
    return bool(colon and rest and scheme.lower() in _SCHEMES)


@lru_cache(maxsize=16_384)
def cleaned_url(url: str, besides: tuple[str, ...] = ()) -> str:
    """Return a page's URL as Matomo keeps it: no fragment, campaign or session; "" where it is none.

    :param besides: more parameters that are dropped, such as those of the site search.
    """
    url = url.strip().replace("\n", "").replace("\r", "").replace("\0", "")[:URL_LENGTH]
    if not looks_like_url(url):
        return ""
    split = split_url(url)
    kept = [
        part
        for part in split.query.split("&")
        if part and (name := unquote_plus(part.partition("=")[0]).lower()) not in _EXCLUDED and name not in besides
    ]
    path = split.path if split.path or not kept else "/"
    return urlunsplit((split.scheme, split.netloc.lower(), path, "&".join(kept), ""))[:URL_LENGTH]
