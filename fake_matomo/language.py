"""The labels that Matomo translates, in the three languages of the recordings."""

from collections.abc import Mapping

from fake_matomo.php import php_round

LANGUAGES = ("en", "fr", "de")
_UNKNOWN = ("Unknown", "Inconnu", "Unbekannt")

_COUNTRIES: Mapping[str, tuple[str, str, str]] = {
    "fr": ("France", "France", "Frankreich"),
    "de": ("Germany", "Allemagne", "Deutschland"),
    "us": ("United States", "États-Unis", "Vereinigte Staaten"),
    "gb": ("United Kingdom", "Royaume-Uni", "Vereinigtes Königreich"),
    "es": ("Spain", "Espagne", "Spanien"),
    "in": ("India", "Inde", "Indien"),
    "br": ("Brazil", "Brésil", "Brasilien"),
    "pl": ("Poland", "Pologne", "Polen"),
    "ci": ("Côte d’Ivoire", "Côte d’Ivoire", "Côte d’Ivoire"),
    "is": ("Iceland", "Islande", "Island"),
    "jp": ("Japan", "Japon", "Japan"),
    "ca": ("Canada", "Canada", "Kanada"),
    "at": ("Austria", "Autriche", "Österreich"),
    "au": ("Australia", "Australie", "Australien"),
    "be": ("Belgium", "Belgique", "Belgien"),
    "ch": ("Switzerland", "Suisse", "Schweiz"),
    "it": ("Italy", "Italie", "Italien"),
    "nl": ("Netherlands", "Pays-Bas", "Niederlande"),
    "nz": ("New Zealand", "Nouvelle-Zélande", "Neuseeland"),
    "pt": ("Portugal", "Portugal", "Portugal"),
    "se": ("Sweden", "Suède", "Schweden"),
}
COUNTRY_CODES = frozenset(_COUNTRIES)

_CONTINENTS: Mapping[str, str] = {
    "eur": "Europe",
    "amn": "North America",
    "ams": "South America",
    "asi": "Asia",
    "afr": "Africa",
    "oce": "Oceania",
    "unk": "Unknown",
}

_LANGUAGE_NAMES: Mapping[str, tuple[str, str, str]] = {
    "fr": ("French", "Français", "Französisch"),
    "de": ("German", "Allemand", "Deutsch"),
    "en": ("English", "Anglais", "Englisch"),
    "es": ("Spanish", "Espagnol", "Spanisch"),
    "pt": ("Portuguese", "Portugais", "Portugiesisch"),
    "pl": ("Polish", "Polonais", "Polnisch"),
    "is": ("Icelandic", "Islandais", "Isländisch"),
    "ja": ("Japanese", "Japonais", "Japanisch"),
    "it": ("Italian", "Italien", "Italienisch"),
    "nl": ("Dutch", "Néerlandais", "Niederländisch"),
    "sv": ("Swedish", "Suédois", "Schwedisch"),
}

_DEVICE_TYPES: Mapping[str, tuple[str, str, str]] = {
    "camera": ("Camera", "Caméra", "Kamera"),
    "car browser": ("Car browser", "Navigateur de voiture", "Auto-Browser"),
    "console": ("Console", "Console", "Konsole"),
    "desktop": ("Desktop", "Bureau", "Desktop"),
    "feature phone": ("Feature phone", "Fonctionnalité téléphone", "Feature Phone"),
    "peripheral": ("Peripheral", "Périphérique", "Peripheriegerät"),
    "phablet": ("Phablet", "Phablette", "Phablet"),
    "portable media player": ("Portable media player", "Lecteur de medias portable", "Medienabspieler"),
    "smart display": ("Smart display", "Affichage intelligent", "Smart Display"),
    "smart speaker": ("Smart speaker", "Haut-parleur intelligent", "Intelligenter Lautsprecher"),
    "smartphone": ("Smartphone", "Téléphone intelligent (smartphone)", "Smartphone"),
    "tablet": ("Tablet", "Tablette", "Tablet"),
    "tv": ("Tv", "TV", "TV"),
    "wearable": ("Wearable", "Portable", "Wearable"),
}

_CHANNELS: Mapping[int, tuple[str, str, str]] = {
    1: ("Direct Entry", "Entrées directes", "Direkte Zugriffe"),
    2: ("Search Engines", "Moteurs de recherche", "Suchmaschinen"),
    3: ("Websites", "Sites web", "Websites"),
    6: ("Campaigns", "Campagnes", "Kampagnen"),
    7: ("Social Networks", "Réseaux sociaux", "Soziale Netzwerke"),
}

CHANNEL_CODES: Mapping[int, str] = {1: "direct", 2: "search", 3: "website", 6: "campaign", 7: "social"}

_KEYWORD_NOT_DEFINED = ("Keyword not defined", "Mot clef indéfini", "Suchbegriff nicht definiert")
_OTHERS = ("Others", "Autres", "Andere")


class Language:
    """One of the languages; an unsupported one falls back to English."""

    __slots__ = ("_at", "code")

    def __init__(self, code: str) -> None:
        self.code = code if code in LANGUAGES else "en"
        self._at = LANGUAGES.index(self.code)

    def country(self, code: str) -> str:
        """Return a country's name."""
        return _COUNTRIES.get(code, _UNKNOWN)[self._at]

    def continent(self, code: str) -> str:
        """Return a continent's name, always in English."""
        return _CONTINENTS.get(code, "Unknown")

    def spoken(self, code: str) -> str:
        """Return a language's name, from its code without the region."""
        return _LANGUAGE_NAMES.get(code, _UNKNOWN)[self._at]

    def device_type(self, code: str) -> str:
        """Return a device type's name."""
        return _DEVICE_TYPES.get(code, _UNKNOWN)[self._at]

    def channel(self, number: int) -> str:
        """Return a referrer type's name."""
        return _CHANNELS[number][self._at]

    @property
    def others(self) -> str:
        """The label of the row that sums up what a limit cut off."""
        return _OTHERS[self._at]

    @property
    def keyword_not_defined(self) -> str:
        """The label of a keyword that the search engine does not disclose."""
        return _KEYWORD_NOT_DEFINED[self._at]

    @property
    def unknown(self) -> str:
        """The label of an unknown value."""
        return _UNKNOWN[self._at]

    def percent(self, ratio: float, digits: int = 0) -> str:
        """Format a ratio as a percentage of the language, with at most that many decimals."""
        sign = "%" if self.code == "en" else "\u00a0%"
        if not digits:
            return f"{int(ratio * 100 + 0.5)}{sign}"
        number = str(php_round(ratio * 100, digits))
        return f"{number if self.code == 'en' else number.replace('.', ',')}{sign}"


def language_of(parameter: str | None, accept_language: str | None) -> Language:
    """Return the language of an answer: the parameter takes precedence over the header."""
    if parameter:
        return Language(parameter)
    for part in (accept_language or "").split(","):
        code = part.split(";")[0].strip().split("-")[0].lower()
        if code in LANGUAGES:
            return Language(code)
    return Language("en")
