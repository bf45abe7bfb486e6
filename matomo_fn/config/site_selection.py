"""Which sites a connector syncs: by id, name, group or type, without those that are excluded."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict

from matomo_fn.config.validation import Problems, suggestion
from matomo_fn.sites import SITE_ID, Site


class Criterion(StrEnum):
    """What a rule compares of a site."""

    ID = "id"
    NAME = "name"
    GROUP = "group"
    TYPE = "type"


_PATTERNS = tuple(criterion.value for criterion in Criterion if criterion is not Criterion.ID)


@dataclass(frozen=True, slots=True)
class SiteRule:
    """A site id, or a pattern for the name, group or type of sites, in which ``*`` and ``?`` stand for any text."""

    criterion: Criterion
    pattern: str

    def matches(self, site: Site) -> bool:
        """Return whether a site is meant; upper and lower case are the same."""
        match self.criterion:
            case Criterion.ID:
                return site.id == self.pattern
            case Criterion.NAME:
                found = site.name
            case Criterion.GROUP:
                found = site.group
            case Criterion.TYPE:
                found = site.type
            case _:
                assert_never(self.criterion)
        return fnmatchcase(found.casefold(), self.pattern.casefold())

    @property
    def written(self) -> object:
        """The rule as a configuration has it."""
        return self.pattern if self.criterion is Criterion.ID else {str(self.criterion): self.pattern}


@dataclass(frozen=True, slots=True)
class SiteSelection:
    """The sites of a connector: those that ``include`` names, or every one where it is empty, without ``exclude``."""

    include: tuple[SiteRule, ...] = ()
    exclude: tuple[SiteRule, ...] = ()

    @property
    def takes_new_sites(self) -> bool:
        """Whether a site that is added to Matomo may be selected without a change of the configuration."""
        return not self.include or any(rule.criterion is not Criterion.ID for rule in self.include)

    @property
    def excluded_ids(self) -> tuple[str, ...]:
        """The sites that are excluded by their ids."""
        return _ids(self.exclude)

    def choose(self, sites: Sequence[Site]) -> tuple[str, ...]:
        """Return the selected sites: of those that Matomo lists, and ids in ``include`` although it does not list them.

        In the order of the configuration where it has ids alone, otherwise in that of Matomo.
        """
        named = _ids(self.include)
        listed = [site.id for site in sites if not self.include or any(rule.matches(site) for rule in self.include)]
        excluded = {site.id for site in sites if any(rule.matches(site) for rule in self.exclude)}
        excluded.update(self.excluded_ids)
        chosen = [*listed, *named] if self.takes_new_sites else [*named]
        return tuple(site for site in dict.fromkeys(chosen) if site not in excluded)

    def may_have(self, site_id: str) -> bool:
        """Return whether a site may be selected, where nothing but its id is known."""
        return site_id not in self.excluded_ids and (self.takes_new_sites or site_id in _ids(self.include))

    def known(self, site_ids: Iterable[str]) -> tuple[str, ...]:
        """Return the selected sites where nothing but the ids of some is known."""
        return tuple(site for site in dict.fromkeys([*_ids(self.include), *site_ids]) if self.may_have(site))

    def unmatched(self, sites: Sequence[Site]) -> tuple[str, ...]:
        """Return a sentence for each pattern that no site has: it is misspelt, or the sites are gone."""
        return tuple(
            f'"sites": no site has the {rule.criterion} {rule.pattern!r} that "{key}" names: '
            f"{_seen(rule.criterion, sites)}"
            for key, rules in (("include", self.include), ("exclude", self.exclude))
            for rule in rules
            if rule.criterion is not Criterion.ID and not any(rule.matches(site) for site in sites)
        )

    def without(self, site_ids: Iterable[str]) -> str:
        """Return the key ``sites`` of a configuration, as JSON, that also excludes some sites."""
        more = replace(self, exclude=(*self.exclude, *(SiteRule(Criterion.ID, site) for site in site_ids)))
        rules = {"include": more.include, "exclude": more.exclude}
        return json.dumps(
            {key: [rule.written for rule in found] for key, found in rules.items() if found}, ensure_ascii=False
        )


EVERY_SITE = SiteSelection()


def site_list(value: Any) -> Any:
    """Return site ids as strings without leading zeros or repetition; numbers and strings are both taken."""
    if not isinstance(value, list):
        raise ValueError('has to be a list of site ids, such as ["1", "2"]')
    if not value:
        raise ValueError("names no site: list at least one, or leave it out")
    sites = [_site_id(item) for item in value]
    wrong = [item for item, text in zip(value, sites, strict=True) if not text]
    if wrong:
        raise Problems(f"{item!r} is not a site id: it has to be a whole number such as 1" for item in wrong)
    return tuple(dict.fromkeys(sites))


def read_selection(value: Any) -> SiteSelection:
    """Return the selection that the key ``sites`` of a configuration describes.

    Raises ValueError, or pydantic's ValidationError, with a sentence for everything that is wrong.
    """
    if isinstance(value, SiteSelection):
        return value
    if isinstance(value, str):
        if value != "all":
            raise ValueError(f'{value!r} is neither "all" nor a list of site ids, such as ["1", "2"]')
        return EVERY_SITE
    if isinstance(value, dict):
        if unknown := [key for key in value if key not in _Selection.model_fields]:
            raise Problems(f"unknown key {key!r}: {suggestion(key, _Selection.model_fields)}" for key in unknown)
        read = _Selection.model_validate(value)
        if not read.include and not read.exclude:
            raise ValueError('has to have "include" or "exclude", or be "all"')
        return SiteSelection(read.include, read.exclude)
    if value == []:
        raise ValueError('names no site: list at least one, or set it to "all"')
    return SiteSelection(_rules(value))


def _rules(value: Any) -> tuple[SiteRule, ...]:
    if not isinstance(value, list):
        raise ValueError('has to be a list of site ids and patterns, such as ["1", {"name": "Shop *"}]')
    if not value:
        raise ValueError("names no site: list at least one, or leave it out")
    rules: list[SiteRule] = []
    problems: list[str] = []
    for item in value:
        try:
            rules.append(_rule(item))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise Problems(problems)
    return tuple(dict.fromkeys(rules))


def _rule(item: Any) -> SiteRule:
    if isinstance(item, dict):
        if len(item) != 1:
            keys = " or ".join(_PATTERNS)
            raise ValueError(f'{json.dumps(item)} has to have one key, {keys}, such as {{"name": "Shop *"}}')
        ((key, pattern),) = item.items()
        if key not in _PATTERNS:
            raise ValueError(f"sites cannot be selected by {key!r}: {suggestion(key, _PATTERNS)}")
        if not isinstance(pattern, str) or not pattern.strip():
            raise ValueError(f'{json.dumps(item)}: {key} has to be a text such as "Shop *"')
        return SiteRule(Criterion(key), pattern)
    if site := _site_id(item):
        return SiteRule(Criterion.ID, site)
    raise ValueError(
        f'{item!r} is not a site id, which is a whole number such as 1, nor a pattern such as {{"name": "Shop *"}}'
    )


class _Selection(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    include: Annotated[tuple[SiteRule, ...], BeforeValidator(_rules)] = ()
    exclude: Annotated[tuple[SiteRule, ...], BeforeValidator(_rules)] = ()


def _site_id(item: Any) -> str:
    """Return a site id as a string, or '' for what is none."""
    text = str(item) if isinstance(item, str | int) and not isinstance(item, bool) else ""
    return text if SITE_ID.fullmatch(text) else ""


def _ids(rules: Iterable[SiteRule]) -> tuple[str, ...]:
    return tuple(rule.pattern for rule in rules if rule.criterion is Criterion.ID)


def _seen(criterion: Criterion, sites: Sequence[Site]) -> str:
    values = {Criterion.NAME: lambda s: s.name, Criterion.GROUP: lambda s: s.group, Criterion.TYPE: lambda s: s.type}
    found = sorted({values[criterion](site) for site in sites} - {""})
    if not found:
        return f"the sites that the token's user may see have no {criterion}"
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return f"the sites that the token's user may see have {', '.join(map(repr, found[:10]))}{more}"
