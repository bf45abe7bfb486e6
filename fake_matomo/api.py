"""API calls: permissions, method and sites, and the nested calls of `API.getBulkRequest`."""

from collections.abc import Callable, Mapping
from datetime import UTC
from urllib.parse import parse_qsl

from fake_matomo.errors import (
    ApiError,
    missing,
    no_view_access,
    no_view_access_at_all,
    plugin_not_enabled,
    superuser_only,
    unknown_method,
    unknown_site,
)
from fake_matomo.faults import Mutation
from fake_matomo.filters import paged, parse_int, parse_limit
from fake_matomo.language import Language
from fake_matomo.live import Live
from fake_matomo.metadata import Metadata, parameters_of
from fake_matomo.reports import Archives, Reports
from fake_matomo.saved_segments import SavedSegments
from fake_matomo.sites import CUSTOM_DIMENSIONS, Site
from fake_matomo.store import Traffic
from fake_matomo.tokens import Tokens, User

# Plugins without reports; their unknown methods are "not available".
_PLUGINS = frozenset({"API", "Live", "SegmentEditor", "SitesManager", "UsersManager"})
_OF_IDS = frozenset({"getSitesIdWithAtLeastViewAccess", "getSitesIdWithAdminAccess", "getSitesIdWithWriteAccess"})
LIVE = frozenset({"Live.getLastVisitsDetails", "Live.getMostRecentVisitsDateTime"})

# Is told of each call inside a bulk request; may return a change to make to its answer.
BulkListener = Callable[[Mapping[str, str]], Mutation | None]


class Api:
    """The instance's API."""

    def __init__(self, traffic: Traffic, tokens: Tokens) -> None:
        self.traffic, self.tokens = traffic, tokens
        self.archives = Archives()
        self.metadata = Metadata()
        self.reports = Reports(traffic, self.archives, self.metadata)
        self.live = Live(traffic)
        self.saved_segments = SavedSegments()
        self.version = "5.2.0"
        self.inactive_plugins: set[str] = set()

    def call(self, params: Mapping[str, str], user: User, language: Language, listener: BulkListener) -> object:
        """Return the decoded answer to a call.

        :raises ApiError: what Matomo answers as an error.
        """
        method = params.get("method")
        if not method:
            raise ApiError("The parameter 'method' isn't set in the Request, and a default value wasn't provided.")
        if method.count(".") != 1:
            raise ApiError("The method name is invalid. Expected 'module.methodName'")
        if method == "API.getBulkRequest":
            return self._bulk(params, user, language, listener)
        return self._one(method, params, user, language)

    def _one(self, method: str, params: Mapping[str, str], user: User, language: Language) -> object:
        plugin, _, name = method.partition(".")
        known = plugin in _PLUGINS or self.metadata.has_plugin(plugin)
        if not known or plugin in self.inactive_plugins:
            raise plugin_not_enabled(plugin)
        if method == "MultiSites.getAll":
            seen = [site for site in self.traffic.world.sites if user.sees(site.id)]
            return self.reports.answer(method, seen, params, language, several=False)
        if self.reports.serves(method):
            sites, several = self._sites(params, user)
            return self.reports.answer(method, sites, params, language, several=several)
        if method in LIVE:
            sites, several = self._sites(params, user)
            return self.live.answer(method, sites, params, language, several=several)
        if method in _OF_ONE_SITE:
            (site, *_), _several = self._sites(params, user)
            return _OF_ONE_SITE[method](self, site, params)
        if plugin in ("API", "SitesManager", "SegmentEditor"):
            return self._about(method, name, params, user)
        raise unknown_method(plugin, name)

    def _about(self, method: str, name: str, params: Mapping[str, str], user: User) -> object:
        """Answer the methods about the instance and its sites."""
        if name in _OF_IDS:
            return self._site_ids(name, user)
        seen = [site for site in self.traffic.world.sites if user.sees(site.id)]
        if method == "SegmentEditor.getAll":
            return self._saved_segments(params, user)
        if name in ("getMatomoVersion", "getPiwikVersion"):
            if not seen:
                raise no_view_access_at_all()
            return {"value": self.version}
        if name in ("getAllSites", "getPhpVersion"):
            if not user.superuser:
                raise superuser_only()
            all_sites = [site.described() | {"creator_login": "super user was set"} for site in seen]
            return all_sites if name == "getAllSites" else {"value": "8.2.24"}
        if name == "getSitesWithAtLeastViewAccess":
            return paged(
                [site.described() for site in seen],
                parse_limit(params.get("filter_limit"), self.reports.default_limit),
                max(0, parse_int(params.get("filter_offset"), 0)),
            )
        if name == "getSiteFromId":
            (site,), _ = self._sites(params, user)
            return site.described()
        raise unknown_method(method.partition(".")[0], name)

    def _site_ids(self, name: str, user: User) -> object:
        """Return the ids of the sites of which the user has a role.

        A super user has the role of an administrator everywhere, and that of a writer nowhere.
        """
        seen = [site.id for site in self.traffic.world.sites if user.sees(site.id)]
        if name == "getSitesIdWithAtLeastViewAccess":
            return seen
        has_role = user.superuser == (name == "getSitesIdWithAdminAccess")
        return [site for site in seen if has_role and user.may_write(site)]

    def _saved_segments(self, params: Mapping[str, str], user: User) -> object:
        """Answer `SegmentEditor.getAll`, of one site or of all."""
        if not any(user.sees(site.id) for site in self.traffic.world.sites):
            raise no_view_access_at_all()
        found = self.saved_segments.described(parse_int(params.get("idSite"), 0))
        limit = parse_limit(params.get("filter_limit"), self.reports.default_limit)
        return paged(found, limit, max(0, parse_int(params.get("filter_offset"), 0)))

    def _report_metadata(self, site: Site, params: Mapping[str, str]) -> object:
        documented = params.get("hideMetricsDoc") != "1"
        token = params.get("token_auth", "")
        return self.metadata.described(site, self.traffic.today(site), token, with_documentation=documented)

    def _metadata(self, site: Site, params: Mapping[str, str]) -> object:
        """Answer `API.getMetadata`: the entries of a method with these parameters, or false."""
        for name in ("apiModule", "apiAction"):
            if not params.get(name):
                raise missing(name)
        wanted = params["apiModule"], params["apiAction"]
        parameters = {name: params[name] for name in ("idGoal", "idDimension") if params.get(name)}
        entries = [
            entry
            for entry in self.metadata.described(site, self.traffic.today(site), params.get("token_auth", ""))
            if (entry["module"], entry["action"]) == wanted
            and {key: str(value) for key, value in parameters_of(entry).items()} == parameters
        ]
        return entries or {"value": False}

    def _sites(self, params: Mapping[str, str], user: User) -> tuple[list[Site], bool]:
        """Return the requested sites, and whether they were requested as a list."""
        text = params.get("idSite")
        if not text:
            raise missing("idSite")
        if text == "all":
            return [site for site in self.traffic.world.sites if user.sees(site.id)], True
        ids = [int(part) for part in text.split(",") if part.strip().isdigit() and int(part) > 0]
        if not ids:
            raise ApiError("Website IDs could not be read from the request, ie. idSite=")
        for site_id in ids:
            if not user.sees(site_id) or (self.traffic.world.site(site_id) is None and not user.superuser):
                raise no_view_access(site_id)
        sites = [self.traffic.world.site(site_id) for site_id in ids]
        found = [site for site in sites if site is not None]
        if len(found) < len(ids):
            raise unknown_site(next(one for one in ids if self.traffic.world.site(one) is None))
        return found, len(ids) > 1

    def _bulk(self, params: Mapping[str, str], user: User, language: Language, listener: BulkListener) -> object:
        """Answer `API.getBulkRequest`: outer parameters are defaults of the inner calls and page the list."""
        if not any(name == "urls" or name.startswith("urls[") for name in params):
            raise missing("urls")
        outer = {name: value for name, value in params.items() if not name.startswith("urls")}
        answers: list[object] = []
        for name, url in params.items():
            if not name.startswith("urls["):
                continue
            inner = outer | dict(parse_qsl(url, keep_blank_values=True))
            if inner.get("method") == "API.getBulkRequest":
                # This includes an inner URL that begins with "?": its method stays that of the outer call.
                continue
            own_token = dict(parse_qsl(url)).get("token_auth")
            answers.append(self._inner(inner, own_token, user, language, listener))
        limit = parse_limit(params.get("filter_limit"), self.reports.default_limit)
        offset = max(0, parse_int(params.get("filter_offset"), 0))
        return answers[offset:] if limit < 0 else answers[offset : offset + limit]

    def _inner(
        self,
        params: Mapping[str, str],
        own_token: str | None,
        user: User,
        language: Language,
        listener: BulkListener,
    ) -> object:
        change = listener(params)
        try:
            if own_token:
                user = self.tokens.user(own_token, in_url=True, now=self.traffic.now().astimezone(UTC))
            spoken = Language(params["language"]) if params.get("language") else language
            answer = self.call(params, user, spoken, listener)
        except ApiError as error:
            answer = {"result": "error", "message": error.message}
        return change(answer) if change else answer


def _goals(_api: Api, site: Site, _params: Mapping[str, str]) -> object:
    return [goal.described(site.id) for goal in site.goals]


def _custom_dimensions(_api: Api, site: Site, _params: Mapping[str, str]) -> object:
    return list(CUSTOM_DIMENSIONS) if site.has_custom_dimensions else []


_OF_ONE_SITE: Mapping[str, Callable[[Api, Site, Mapping[str, str]], object]] = {
    "API.getMetadata": Api._metadata,
    "API.getReportMetadata": Api._report_metadata,
    "CustomDimensions.getConfiguredCustomDimensions": _custom_dimensions,
    "Goals.getGoals": _goals,
}
