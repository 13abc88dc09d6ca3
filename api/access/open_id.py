"""An OpenID Connect provider: the authorization code flow with PKCE (RFC 7636), and checked ID tokens.

Authlib exchanges the code, joserfc verifies the token's signature; both come with the extra `sign-in`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import structlog

from shared.errors import OperatorError, UnauthorizedError
from shared.settings import Settings

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from joserfc.jwk import KeySetSerialization

log = structlog.get_logger()

LIMIT_S = 10.0
LEEWAY_S = 60
"""Tolerated difference between the clocks of the provider and this machine."""
KEYS_LAST_S = 3600.0
"""Time until the provider's keys are read again; an unknown key causes that at once."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Accepted signatures: with the provider's public keys only."""


class OpenIdProvider:
    """A provider, whose metadata and keys are read at the first sign-in."""

    def __init__(self, settings: Settings, callback: str) -> None:
        """`callback`: the URL to which the provider sends the browser back. Raises OperatorError without the
        extra `sign-in`."""
        try:
            import authlib.integrations.httpx_client
            import httpx2
        except ImportError:
            raise OperatorError(
                "TAKT_OIDC_ISSUER needs packages that are not installed: pip install 'takt-server[sign-in]'"
            ) from None
        self._http_error = httpx2.HTTPError
        self._client_class = authlib.integrations.httpx_client.AsyncOAuth2Client
        self.issuer = settings.oidc_issuer.rstrip("/")
        self._settings = settings
        self._callback = callback
        self._metadata: dict[str, Any] | None = None
        self._keys: Any = None
        self._keys_read_s = float("-inf")

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """The URL at which a person signs in. Raises OperatorError if the provider does not answer."""
        endpoint = (await self._described())["authorization_endpoint"]
        async with self._client() as client:
            url: str = client.create_authorization_url(
                endpoint, state=state, nonce=nonce, code_verifier=verifier
            )[0]
        return url

    async def claims(self, url: str, *, state: str, nonce: str, verifier: str) -> dict[str, Any]:
        """The claims of the person that signed in, from its checked ID token.

        `url`: that the provider sent the browser to, with the code. Raises UnauthorizedError, OperatorError.
        """
        from authlib.common.errors import AuthlibBaseError

        endpoint = (await self._described())["token_endpoint"]
        try:
            async with self._client() as client:
                token = await client.fetch_token(
                    endpoint, authorization_response=url, state=state, code_verifier=verifier
                )
        except AuthlibBaseError as error:
            log.warning("sign_in_failed", reason=f"{error.error}: {error.description}"[:300])
            raise UnauthorizedError(
                "The provider did not confirm the sign-in. Start again at /sign-in."
            ) from None
        except (OSError, ValueError, self._http_error) as error:
            raise self._away(error) from None
        return await self._checked(str(token.get("id_token", "")), nonce)

    async def _checked(self, id_token: str, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._settings.oidc_client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            decoded = jwt.decode(id_token, await self._known_keys(id_token), algorithms=list(ALGORITHMS))
            registry.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            log.warning("sign_in_failed", reason=f"ID token: {error}"[:300])
            raise UnauthorizedError(
                "The ID token of the provider is not valid. Start again at /sign-in."
            ) from None
        return decoded.claims

    async def _known_keys(self, id_token: str) -> Any:
        """The provider's keys, read again if they are old or do not contain the key of the token."""
        from joserfc import jws
        from joserfc.jwk import KeySet

        wanted = jws.extract_compact(id_token.encode()).headers().get("kid")
        known = self._keys is not None and (wanted is None or any(key.kid == wanted for key in self._keys))
        if not known or time.monotonic() - self._keys_read_s > KEYS_LAST_S:
            metadata = await self._described()
            self._keys = KeySet.import_key_set(
                cast("KeySetSerialization", await self._read(metadata["jwks_uri"]))
            )
            self._keys_read_s = time.monotonic()
        return self._keys

    async def _described(self) -> dict[str, Any]:
        """The provider's metadata (OpenID Connect Discovery)."""
        if self._metadata is None:
            found = await self._read(f"{self.issuer}/.well-known/openid-configuration")
            if found.get("issuer", "").rstrip("/") != self.issuer:
                raise OperatorError(
                    f"TAKT_OIDC_ISSUER is {self.issuer}, but the provider's issuer is {found.get('issuer')}."
                )
            self.issuer = found["issuer"]  # tokens spell it so
            self._metadata = found
        return self._metadata

    async def _read(self, url: str) -> dict[str, Any]:
        try:
            async with self._client() as client:
                answer = await client.request("GET", url, withhold_token=True)
                answer.raise_for_status()
                found: dict[str, Any] = answer.json()
        except (OSError, ValueError, self._http_error) as error:
            raise self._away(error) from None
        return found

    def _away(self, error: Exception) -> OperatorError:
        log.warning("sign_in_provider_away", error=type(error).__name__, reason=str(error)[:300])
        return OperatorError(
            f"The sign-in provider {self.issuer} does not answer. Try again, or use an API key."
        )

    def _client(self) -> AsyncOAuth2Client:
        settings = self._settings
        return self._client_class(
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value() or None,
            scope=settings.oidc_scopes,
            redirect_uri=self._callback,
            code_challenge_method="S256",
            timeout=LIMIT_S,
        )
