"""SecretStore in Google's Secret Manager."""

from collections.abc import Collection, Mapping

import google_crc32c
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from matomo_fn.errors import InputError, SecretMissing, SecretNotFound, SecretsUnavailable

# Seconds for one secret, retries included: without its token the function can do nothing.
READ_DEADLINE = 30.0


class SecretManagerStore:
    """SecretStore of one project, each in its newest version or in the one that it is pinned to."""

    def __init__(
        self, project: str, versions: Mapping[str, str], client: SecretManagerServiceClient | None = None
    ) -> None:
        self._project = project
        self._versions = versions
        try:
            # REST, so that what the tests speak to over HTTP is what runs in production.
            self._client = client or SecretManagerServiceClient(transport="rest")
        except DefaultCredentialsError:
            raise InputError(
                "there are no Google credentials: run `gcloud auth application-default login`, "
                "or set MATOMO_FN_SECRETS to a folder"
            ) from None

    def read(self, name: str) -> str:
        """Return the text of a secret's version."""
        version = self._versions.get(name, "latest")
        path = f"projects/{self._project}/secrets/{name}/versions/{version}"
        retry = Retry(
            predicate=if_exception_type(exceptions.ServiceUnavailable, exceptions.TooManyRequests),
            timeout=READ_DEADLINE,
        )
        try:
            answer = self._client.access_secret_version(name=path, retry=retry, timeout=READ_DEADLINE)
        # Over REST an error's class tells its HTTP status only, so 403 is Forbidden and not PermissionDenied.
        except exceptions.NotFound:
            raise SecretNotFound(f"there is no secret {path}: create it and add a version") from None
        except exceptions.Forbidden as error:
            raise SecretMissing(self._forbidden(path, error)) from None
        except exceptions.BadRequest as error:
            raise SecretMissing(_refused(path, error)) from None
        except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError, OSError) as error:
            raise SecretsUnavailable(f"Secret Manager did not give {path}: {type(error).__name__}") from None
        data: bytes = answer.payload.data
        if answer.payload.data_crc32c and google_crc32c.value(data) != answer.payload.data_crc32c:
            raise SecretsUnavailable(f"Secret Manager did not give {path} whole: its checksum does not fit")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SecretMissing(f"the secret {path} is not UTF-8 text") from None

    def names(self, prefix: str) -> Collection[str]:
        """Return the names of the project's secrets that begin with a prefix."""
        retry = Retry(
            predicate=if_exception_type(exceptions.ServiceUnavailable, exceptions.TooManyRequests),
            timeout=READ_DEADLINE,
        )
        # The API finds the text anywhere in a name: https://cloud.google.com/secret-manager/docs/filtering
        request = {"parent": f"projects/{self._project}", "filter": f"name:{prefix}"}
        try:
            found = self._client.list_secrets(request=request, retry=retry, timeout=READ_DEADLINE)
            names = {secret.name.rpartition("/")[2] for secret in found}
        except exceptions.Forbidden as error:
            raise SecretMissing(self._list_forbidden(error)) from None
        except (exceptions.BadRequest, exceptions.NotFound):
            raise SecretMissing(f"{self._project} is no project's name: check GOOGLE_CLOUD_PROJECT") from None
        except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError, OSError) as error:
            raise SecretsUnavailable(f"Secret Manager did not list its secrets: {type(error).__name__}") from None
        return {name for name in names if name.startswith(prefix)}

    def _list_forbidden(self, error: exceptions.Forbidden) -> str:
        if error.reason == "SERVICE_DISABLED":
            return self._disabled()
        return (
            f"the secrets of project {self._project} may not be listed: this takes the role roles/secretmanager.viewer "
            "on the project. Commands that are given a connector's name do not need it"
        )

    def _disabled(self) -> str:
        return (
            f"the Secret Manager API is not enabled in project {self._project}: run `gcloud services enable "
            f"secretmanager.googleapis.com --project {self._project}` and wait a few minutes"
        )

    def _forbidden(self, path: str, error: exceptions.Forbidden) -> str:
        if error.reason == "SERVICE_DISABLED":
            return self._disabled()
        return (
            f"the secret {path} may not be read, or is not there: create it and give the function's service account "
            "the role roles/secretmanager.secretAccessor on it"
        )


def _refused(path: str, error: exceptions.BadRequest) -> str:
    if "DISABLED state" in str(error) or "DESTROYED state" in str(error):
        return f"the secret {path} is disabled or destroyed: enable it or add a version"
    return f"{path} is no secret's name: check GOOGLE_CLOUD_PROJECT and MATOMO_FN_SECRET_VERSIONS"
