"""The configuration file: which one is in use, and taking up a changed one."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control.reload import ConfigurationView, ReloadResult
from headgate.domain.access import Permission
from headgate.domain.errors import ConfigRejectedError


def _get(call: Call[None, None]) -> ConfigurationView:
    return call.site.reloader.view(call.actor)


def _reload(call: Call[None, None]) -> ReloadResult:
    return call.site.reloader.reload(call.actor)


ENDPOINTS: Final = (
    Endpoint(
        name="get_configuration",
        method="GET",
        path=f"{ROOT}/configuration",
        permission=Permission.OPERATE,
        handler=_get,
        summary="Say which configuration is in use, and why a newer one was rejected.",
        response=ConfigurationView,
    ),
    Endpoint(
        name="reload_configuration",
        method="POST",
        path=f"{ROOT}/configuration/reload",
        permission=Permission.OPERATE,
        handler=_reload,
        summary="Read the configuration file again and take it up, or reject it and keep the last good one.",
        response=ReloadResult,
        errors=(ConfigRejectedError,),
    ),
)
