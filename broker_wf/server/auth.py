"""Who may ask: a bearer for programs, a cookie for the page, and what a foreign web site may never do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from broker_wf.core.clock import SystemClock
from broker_wf.server.options import ServerOptions

COOKIE = "broker_wf_session"
SESSION_PATH = "/page/login"
_SESSION_S = 7 * 24 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = frozenset({"/health", "/livez", "/readyz", "/api/v1/livez", "/api/v1/readyz", "/", "/favicon.ico"})
"""Asked by machines without a token, or the page itself, which holds nothing: its data come through the API."""
_OPEN_FOLDERS = ("/page/", "/debugger/")


class Role(IntEnum):
    """What somebody may do."""

    NONE = 0
    READ = 1
    WRITE = 2


@dataclass(frozen=True, slots=True)
class Guard:
    """Knows who may do what."""

    options: ServerOptions

    def role_of_token(self, token: str) -> Role:
        """What the bearer of a token may do."""
        for known, role in ((self.options.token, Role.WRITE), (self.options.read_token, Role.READ)):
            if known is not None and hmac.compare_digest(known.encode(), token.encode()):
                return self._at_most(role)
        return Role.NONE

    def role_of_cookie(self, value: str) -> Role:
        """What the holder of a session may do; it ends with its time, or with the token it was made with."""
        until, _, signature = value.partition(".")
        if not until.isdigit() or int(until) < _now_s():
            return Role.NONE
        for token, role in ((self.options.token, Role.WRITE), (self.options.read_token, Role.READ)):
            if token is not None and hmac.compare_digest(_signature(token, until), signature):
                return self._at_most(role)
        return Role.NONE

    def role_of_nobody(self) -> Role:
        """What may be done without showing anything."""
        if self.options.token is not None or self.options.read_token is not None:
            return Role.NONE
        return self._at_most(Role.WRITE)

    def session(self, token: str) -> str:
        """The value of the cookie for the bearer of a token."""
        until = str(_now_s() + _SESSION_S)
        return f"{until}.{_signature(token, until)}"

    def _at_most(self, role: Role) -> Role:
        return min(role, Role.READ) if self.options.read_only else role

    def refusal(self, method: str, path: str, headers: Headers, cookie: str | None) -> JSONResponse | None:
        """Why a request is not answered; None: it is."""
        refused = self._of_foreign_site(method, headers)
        if refused is not None or path in _OPEN or path.startswith(_OPEN_FOLDERS) or path == SESSION_PATH:
            return refused
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            role = self.role_of_token(shown.strip())
        elif cookie is not None:
            role = max(self.role_of_cookie(cookie), self.role_of_nobody())
        else:
            role = self.role_of_nobody()
        if role is Role.NONE:
            return _refused(
                401, "Unauthorized", "a token is needed: Authorization: Bearer …", {"www-authenticate": "Bearer"}
            )
        if role is Role.READ and method not in _SAFE:
            return _refused(403, "Forbidden", "only reading is allowed")
        return None

    def _of_foreign_site(self, method: str, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        allowed = self.options.allowed_hosts
        if allowed is not None and urlsplit(f"//{host}").hostname not in allowed:
            return _refused(421, "Misdirected", "this server is not known by that name")
        if method in _SAFE or origin is None or origin in self.options.allowed_origins:
            return None
        if urlsplit(origin).netloc.lower() != host.lower():
            return _refused(403, "Forbidden", "requests from pages of other sites are not allowed")
        return None


@dataclass(frozen=True, slots=True)
class Guarded:
    """An app behind a guard."""

    app: ASGIApp
    guard: Guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "http":
            request = Request(scope)
            path = str(scope["path"]).removeprefix(str(scope.get("root_path", ""))) or "/"
            refused = self.guard.refusal(request.method, path, request.headers, request.cookies.get(COOKIE))
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


class _Login(BaseModel):
    token: str


def session_routes(guard: Guard) -> list[Route]:
    """The page's way in and out: a token for a cookie that scripts cannot read and other sites cannot send."""

    async def show(request: Request) -> Response:
        role = max(guard.role_of_cookie(request.cookies.get(COOKIE, "")), guard.role_of_nobody())
        return JSONResponse({"role": role.name.lower()})

    async def enter(request: Request) -> Response:
        try:
            token = _Login.model_validate_json(await request.body()).token
        except ValidationError:
            token = ""
        if guard.role_of_token(token) is Role.NONE:
            return _refused(401, "Unauthorized", "this token is not known")
        response = JSONResponse({"role": guard.role_of_token(token).name.lower()})
        response.set_cookie(
            COOKIE,
            guard.session(token),
            max_age=_SESSION_S,
            path=str(request.scope.get("root_path", "")) or "/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def leave(request: Request) -> Response:
        response = JSONResponse({"role": guard.role_of_nobody().name.lower()})
        response.delete_cookie(COOKIE, path=str(request.scope.get("root_path", "")) or "/")
        return response

    return [
        Route(SESSION_PATH, show, methods=["GET"]),
        Route(SESSION_PATH, enter, methods=["POST"]),
        Route(SESSION_PATH, leave, methods=["DELETE"]),
    ]


def _signature(token: str, until: str) -> str:
    return hmac.new(token.encode(), f"broker_wf page {until}".encode(), hashlib.sha256).hexdigest()


def _now_s() -> int:
    return SystemClock().now_ms() // 1000


def _refused(status: int, error: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error, "detail": detail}, status_code=status, headers=headers)
