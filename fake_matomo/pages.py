"""The pages of a site, and their names in Matomo's page reports."""

from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus, unquote
from zlib import crc32

from fake_matomo.php import split_url
from fake_matomo.pools import PRODUCTS, Product
from fake_matomo.sites import Site

# The number of pages with traffic on a usual day.
EVERYDAY_PAGES = 40
# Matomo archives 100 rows of a folder and 500 of the root; folders stay below that, so that no subtable is cut.
PAGES_IN_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Page:
    """A page, with every field of its rows that does not depend on the traffic."""

    id: int
    url: str
    title: str
    flat_label: str
    path: str
    folder: str | None
    url_segment: str
    folder_segment: str
    title_segment: str
    product: Product | None


WELL_KNOWN = (
    ("/", "Accueil – Boutique"),
    ("/dir/", "Directory index"),
    ("/produits/robes?couleur=rouge&taille=42", "Robes rouges"),
    ("/a-propos", "À propos"),
    ("/legal/cgv", "CGV"),
    ("/panier", "Panier"),
    ("/produits/chaussures", "Chaussures"),
    ("/dir", "Directory without slash"),
    ("/landing/promo", "Promo -50% | C'est parti"),
    ("/recherche/avanc%C3%A9e", "Recherche avancée"),
    ("/produits/chaussures/%C3%A9t%C3%A9", "Chaussures d'été"),
    ("/aide/faq", 'FAQ <b>livraison</b> & "retours"'),
    ("/blog/%E6%97%A5%E6%9C%AC%E8%AA%9E", "日本語のページ 🎌"),
    ("/contact", "Contact"),
    ("/produits", "Produits"),
    ("/blog/comment-choisir", "Comment choisir ? — Blog"),
    ("/newsletter/merci", "Merci !"),
    ("/long/" + "segment-tr%C3%A8s-long-" * 44, "Titre " + "très " * 100 + "long"),
)


def _page(number: int, site: Site, path: str, title: str, product: Product | None = None) -> Page:
    # Matomo cuts URLs and titles at 1,024 characters.
    url = (site.main_url + path)[:1024]
    path = url[len(site.main_url) :]
    title = title[:1024]
    head, slash, _ = path.split("?")[0][1:].partition("/")
    folder = head if slash else None
    return Page(
        id=number,
        url=url,
        title=title,
        flat_label=unquote(path),
        path=path,
        folder=folder,
        url_segment="pageUrl==" + quote(quote(url, safe=""), safe=""),
        folder_segment="pageUrl=^" + quote(quote(f"{site.main_url}/{folder}", safe=""), safe=""),
        title_segment="pageTitle==" + quote(quote_plus(escape(title).replace("&#x27;", "&#039;")), safe=""),
        product=product,
    )


@lru_cache(maxsize=16_384)
def page_of_hit(site: Site, url: str, title: str, product: Product | None) -> Page:
    """Return the page that a hit was sent for; its id is that of its URL."""
    if url.startswith(site.main_url):
        made = _page(0, site, url[len(site.main_url) :] or "/", title, product)
    else:
        split = split_url(url)
        made = _page(0, replace(site, main_url=f"{split.scheme}://{split.netloc}"), split.path or "/", title, product)
    path = made.path if url else "Page URL not defined"
    return replace(made, id=100_000 + crc32(url.encode()), url=url, path=path, flat_label=unquote(path))


@lru_cache(maxsize=64)
def pages_of(site: Site) -> tuple[Page, ...]:
    """Return all pages of a site, those with daily traffic first."""
    paths: list[tuple[str, str, Product | None]] = [(path, title, None) for path, title in WELL_KNOWN]
    if site.ecommerce:
        paths += [(f"/p/{quote(one.sku, safe='')}", one.name, one) for one in PRODUCTS]
    number = 0
    while len(paths) < site.pages:
        number += 1
        if site.folders:
            path = f"/catalogue/rayon-{1 + number // PAGES_IN_FOLDER}/article-{number}.html"
        else:
            path = f"/article-{number}.html"
        paths.append((path, f"Article n° {number}", None))
    return tuple(
        _page(index, site, path, title, product)
        for index, (path, title, product) in enumerate(paths[: site.pages], start=1)
    )


@lru_cache(maxsize=256)
def changed_page(site: Site, revision: int) -> Page:
    """Return the page that only a changed day has."""
    return _page(90_000 + revision, site, f"/nouveau/revision-{revision}", f"Révision {revision}")
