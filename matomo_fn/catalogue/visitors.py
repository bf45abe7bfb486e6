"""Further tables of who the visitors are: operating systems, regions and cities."""

from dataclasses import replace

from matomo_fn.catalogue.columns import average, text
from matomo_fn.catalogue.marketing import ENGAGEMENT
from matomo_fn.catalogue.model import Column, Source, Table


def _key_code(name: str, source: str, description: str) -> Column:
    """Return a code that belongs to the key; '' where a row has none, such as "Others", as NULL is equal to nothing."""
    return replace(text(name, source, description, required=True), absent="")


_REGION_CODE = _key_code("region_code", "region", "The region's code (ISO 3166-2, without the country's).")
_COUNTRY_CODE = _key_code(
    "country_code", "country", "The country's two-letter code (ISO 3166), in lower case; xx where it is unknown."
)

VISITOR_OS = Table(
    "visitor_os",
    "Visits by operating system; one row a day, site and system.",
    (Source("DevicesDetection.getOsFamilies"),),
    ENGAGEMENT,
    (text("operating_system", "label", "The operating system, without its version.", required=True),),
)
VISITOR_REGION = Table(
    "visitor_region",
    "Visits by the visitor's region; one row a day, site and region.",
    (Source("UserCountry.getRegion"),),
    ENGAGEMENT,
    (
        text("region", "label", "The region with its country, such as Île-de-France, France.", required=True),
        _REGION_CODE,
        _COUNTRY_CODE,
        text("region_name", "region_name", "The region's name."),
        text("country", "country_name", "The country's English name."),
    ),
    key_dimensions=3,
)
VISITOR_CITY = Table(
    "visitor_city",
    "Visits by the visitor's city; one row a day, site and city.",
    (Source("UserCountry.getCity"),),
    ENGAGEMENT,
    (
        text("city", "label", "The city with region and country, such as Paris, Île-de-France, France.", required=True),
        _REGION_CODE,
        _COUNTRY_CODE,
        text("city_name", "city_name", "The city's name."),
        text("region_name", "region_name", "The region's name."),
        text("country", "country_name", "The country's English name."),
        average("latitude", "lat", "Latitude in degrees."),
        average("longitude", "long", "Longitude in degrees."),
    ),
    key_dimensions=3,
)

VISITORS = (VISITOR_OS, VISITOR_REGION, VISITOR_CITY)
