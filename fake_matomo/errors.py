"""Matomo's error messages, and the HTML page that some of them are wrapped in."""


class ApiError(Exception):
    """The error of an API call: HTTP status and Matomo's message."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class RefusedToken(ApiError):
    """The token is invalid, expired, or was sent in the wrong place."""

    def __init__(self, *, in_url: bool) -> None:
        where = "invalid, expired or is required to be sent as a POST parameter"
        what = where if in_url else "invalid or expired"
        super().__init__(f"Unable to authenticate with the provided token. It is either {what}.", 401)


class TooManyFailedLogins(ApiError):
    """The address sent too many invalid tokens."""

    def __init__(self) -> None:
        super().__init__("Too many failed logins. Please wait and try logging in again later.", 500)


def missing(name: str) -> ApiError:
    """Return the error for a missing required parameter."""
    return ApiError(f"Please specify a value for '{name}'.")


def no_view_access(site: object) -> ApiError:
    """Return the error for a site that the user has no access to."""
    return ApiError(f"You can't access this resource as it requires 'view' access for the website id = {site}.", 401)


def no_view_access_at_all() -> ApiError:
    """Return the error for a user without access to any site."""
    return ApiError("You can't access this resource as it requires view access for at least one website.", 401)


def superuser_only() -> ApiError:
    """Return the error for a method that requires a super user."""
    return ApiError("You can't access this resource as it requires a 'superuser' access.", 401)


def unknown_site(site: object) -> ApiError:
    """Return the error for a super user's request for a site that does not exist."""
    return ApiError(f"An unexpected website was found in the request: website id was set to '{site}' .")


def plugin_not_enabled(plugin: str) -> ApiError:
    """Return the error for a plugin that does not exist or is deactivated."""
    return ApiError(
        f"The plugin {plugin} is not enabled. You can activate the plugin on Settings > Plugins page in Matomo."
    )


def unknown_method(plugin: str, method: str) -> ApiError:
    """Return the error for an unknown method of a known plugin."""
    return ApiError(
        f"The method '{method}' does not exist or is not available in the module '\\Piwik\\Plugins\\{plugin}\\API'.",
        400,
    )


def several_dates_refused(method: str) -> ApiError:
    """Return the error of `VisitTime.getByDayOfWeek` for a range of days."""
    return ApiError(f"{method} does not support multiple dates.")


def no_custom_dimension(number: str, site: int, *, known: bool) -> ApiError:
    """Return the error for a custom dimension that does not exist or is not active."""
    return ApiError(f"Dimension {number} for website {site} {'is not active' if known else 'does not exist'}.")


def several_refused(method: str) -> ApiError:
    """Return the error for a method that supports neither ranges of days nor several sites."""
    return ApiError(f"{method} with multiple sites or dates is not supported (yet).")


_PAGE = """<!DOCTYPE html>
<html>
<head>
	<meta charset="utf-8">
	<meta name="robots" content="noindex,nofollow">
	<title>Matomo &rsaquo; Error</title>
	<link rel="shortcut icon" href="misc/user/favicon.png" />
	<link rel="stylesheet" type="text/css" href="plugins/Morpheus/stylesheets/simple_structure.css" />
</head>
<body id="simple">

<div class="logo">
	<img title="Matomo" alt="Matomo" style="height: 40px;" src="https://matomo.example.com/plugins/Morpheus/images/logo.svg"/>
</div>

<div class="box">

	<div class="header">
		<h1>An error occurred</h1>
	</div>

	<div class="content"><h2>{message}</h2><p><a href="javascript:window.history.back();">Go Back</a> | <a href="index.php">Go to Matomo</a></p>  <ul>
                            <li><a rel="noreferrer noopener" target="_blank" href="https://matomo.org">Matomo.org homepage</a></li>
                            <li><a rel="noreferrer noopener" target="_blank" href="https://matomo.org/faq/">Frequently Periods Questions</a></li>
                            <li><a rel="noreferrer noopener" target="_blank" href="https://matomo.org/docs/">User Guides</a></li>
                            <li><a rel="noreferrer noopener" target="_blank" href="https://forum.matomo.org/">Matomo Forums</a></li>
                            <li><a rel="noreferrer noopener" target="_blank" href="https://matomo.org/support/">Professional Support for Matomo</a></li>
                            </ul>    </div>

    <div class="footer">
        <a href="index.php">&laquo; Back to Matomo</a>
    </div>

</div>
</body>
</html>

"""  # noqa: E501 - verbatim from error_bad_token_post.json

MAINTENANCE_PAGE = """<!DOCTYPE html>
<html>
<head>
	<meta charset="utf-8">
	<meta name="robots" content="noindex,nofollow">
	<title>Matomo is undergoing maintenance</title>
	<link rel="shortcut icon" href="misc/user/favicon.png" />
	<link rel="stylesheet" type="text/css" href="plugins/Morpheus/stylesheets/simple_structure.css" />
</head>
<body id="simple">

<div class="logo">
	<img title="Matomo" alt="Matomo" style="height: 40px;" src="https://matomo.example.com/plugins/Morpheus/images/logo.svg" />
</div>

<div class="box">

	<div class="header">
		<h1>Matomo is undergoing maintenance</h1>
	</div>

	<div class="content">
        <p>
            We will be back up and running again soon, so please try again later. Your analytics data will continue to be tracked as normal. Thank you for your patience.
        </p>
	</div>

	<div class="footer">
	</div>

</div>

</body>
</html>
"""  # noqa: E501 - verbatim from down_maintenance_mode_post.json


def error_page(message: str) -> str:
    """Return Matomo's HTML error page with that message."""
    return _PAGE.replace("{message}", message)
