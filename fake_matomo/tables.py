"""Reports with a row for each value of a dimension of visits, and those of countries, device types, languages."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote_plus

from fake_matomo.language import Language
from fake_matomo.pools import DEVICE_TYPES
from fake_matomo.tallies import Key, Row, VisitTally
from fake_matomo.visits import Visit

ICONS = "plugins/Morpheus/icons/dist/"


@dataclass(frozen=True, slots=True)
class Table:
    """How a report groups visits, and the fields of its rows besides metrics.

    `numbers` is the type of the counters: "text", "int", or "mixed", where rows made of several database values
    have ints and all others strings. `subtable` returns a number for the rows of which a source is not empty.
    """

    key: Callable[[Visit], Key | None]
    label: Callable[[Key, Language], str]
    meta: Callable[[Key, Language], Row]
    source: Callable[[Visit], str] = lambda _: ""
    numbers: str = "int"
    goals: bool = True
    flat_key: Callable[[Visit], Key | None] | None = None
    flat_label: Callable[[Key, Language], str] | None = None
    flat_meta: Callable[[Key, Language], Row] | None = None
    flat_goals: bool = True
    subtable: Callable[[Key], int] | None = None


def tally(table: Table, visits: Iterable[Visit], *, flat: bool) -> list[VisitTally]:
    """Return the tallies of the report's rows, unsorted."""
    deep = flat and table.flat_key is not None
    key_of = table.flat_key if deep and table.flat_key else table.key
    with_goals = table.flat_goals if deep else table.goals
    tallies: dict[Key, VisitTally] = {}
    for visit in visits:
        key = key_of(visit)
        if key is None:
            continue
        found = tallies.get(key)
        if found is None:
            found = tallies[key] = VisitTally(key)
        found.add(visit, table.source(visit), with_goals=with_goals)
    return list(tallies.values())


def row_of(table: Table, found: VisitTally, language: Language, *, flat: bool, several_days: bool) -> Row:
    """Return a row as Matomo formats it."""
    deep = flat and table.flat_key is not None
    label = (table.flat_label if deep and table.flat_label else table.label)(found.key, language)
    text = table.numbers == "text" or (table.numbers == "mixed" and len(found.sources) == 1)
    row = found.row(label, text=text, several_days=several_days)
    meta = table.flat_meta if flat and table.flat_meta else table.meta
    row.update(meta(found.key, language))
    if table.subtable is not None and not flat and any(found.sources):
        row["idsubdatatable"] = table.subtable(found.key)
    return row


def others_of(table: Table, cut: list[VisitTally], language: Language, *, several_days: bool) -> Row:
    """Return the row "Others" of `filter_truncate`."""
    merged = VisitTally(("others",))
    for one in cut:
        merged.merge(one)
    row = merged.row(language.others, text=False, several_days=several_days)
    if table is COUNTRIES:
        row["logoHeight"] = 16
    return row


def unused_device_types(used: Iterable[VisitTally], language: Language, *, flat: bool) -> list[Row]:
    """Return the rows of zero visits that a single date has for every unused device type."""
    seen = {found.key[0] for found in used}
    meta = _device_flat if flat else _device_meta
    return [
        {"label": language.device_type(code), "nb_visits": 0, **meta((code,), language)}
        for code in DEVICE_TYPES
        if code not in seen
    ]


def _country_meta(key: Key, _language: Language) -> Row:
    code = str(key[0]) or "xx"
    return {
        "code": code,
        "logo": f"{ICONS}flags/xx.png",
        "segment": f"countryCode=={code}",
        "logoHeight": 16,
    }


def _country_flat(key: Key, language: Language) -> Row:
    meta = _country_meta(key, language)
    label = language.country(str(key[0]))
    return {"code": meta["code"], "logo": meta["logo"], "UserCountry_Country": label, **meta}


def _device_meta(key: Key, _language: Language) -> Row:
    code = str(key[0])
    if not code:
        return {"logo": f"{ICONS}devices/unknown.png"}
    logo = f"{ICONS}devices/{code.replace(' ', '_')}.png"
    return {"segment": f"deviceType=={quote_plus(code)}", "logo": logo}


def _device_flat(key: Key, language: Language) -> Row:
    label = language.device_type(str(key[0]))
    return {**_device_meta(key, language), "DevicesDetection_DeviceType": label}


def _language_meta(key: Key, _language: Language) -> Row:
    code = str(key[0])
    return {"segment": f"languageCode=={code},languageCode=@{code}-" if code else "languageCode==xx"}


def _language_flat(key: Key, language: Language) -> Row:
    return {**_language_meta(key, language), "UserLanguage_Language": language.spoken(str(key[0]))}


COUNTRIES = Table(
    key=lambda visit: (visit.visitor.place.code,),
    label=lambda key, language: language.country(str(key[0])),
    meta=_country_meta,
    numbers="text",
    flat_meta=_country_flat,
)
DEVICE_TYPE = Table(
    key=lambda visit: (visit.visitor.device.type,),
    label=lambda key, language: language.device_type(str(key[0])),
    meta=_device_meta,
    numbers="text",
    flat_meta=_device_flat,
)
SPOKEN = Table(
    key=lambda visit: (visit.visitor.place.language.partition("-")[0],),
    label=lambda key, language: language.spoken(str(key[0])),
    meta=_language_meta,
    source=lambda visit: visit.visitor.place.language,
    numbers="mixed",
    goals=False,
    flat_meta=_language_flat,
)
