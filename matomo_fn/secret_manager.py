"""Secrets in Google's Secret Manager."""

from collections.abc import Mapping

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from matomo_fn.errors import InputError, SecretMissing, SecretsUnavailable

# Seconds for one secret, retries included: without its token the function can do nothing.
READ_DEADLINE = 30.0


class SecretManagerSecrets:
    """Secrets of one project, each in its newest version or in the one that it is pinned to."""

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
            return answer.payload.data.decode("utf-8")
        except exceptions.NotFound:
            raise SecretMissing(f"there is no secret {path}: create it and add a version") from None
        except exceptions.PermissionDenied:
            raise SecretMissing(
                f"the secret {path} may not be read: give the function's service account the role "
                "roles/secretmanager.secretAccessor on it"
            ) from None
        except exceptions.FailedPrecondition:
            raise SecretMissing(f"the secret {path} is disabled or destroyed: enable it or add a version") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the secret {path} is not UTF-8 text") from None
        except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError, OSError) as error:
            raise SecretsUnavailable(f"Secret Manager did not give {path}: {type(error).__name__}") from None
