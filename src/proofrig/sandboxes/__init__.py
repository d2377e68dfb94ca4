"""Where agents run: sandboxes of several levels. `make_sandbox` makes the one that is asked for."""

from __future__ import annotations

from proofrig.sandboxes.sandbox import Level, Limits, Sandbox

__all__ = ["make_sandbox"]


NO_LIMITS = Limits()


def make_sandbox(level: Level, limits: Limits = NO_LIMITS) -> Sandbox:
    """A sandbox of a level; nothing is started or probed yet (`Sandbox.prepare`). limits: the most
    that a box of it will have, which a vm is sized by."""
    match level:
        case "process":
            from proofrig.sandboxes.process import ProcessSandbox

            return ProcessSandbox()
        case "namespace":
            from proofrig.sandboxes.namespace import NamespaceSandbox

            return NamespaceSandbox()
        case "container":
            from proofrig.sandboxes.container import ContainerSandbox

            return ContainerSandbox()
        case "gvisor":
            from proofrig.sandboxes.gvisor import GvisorSandbox

            return GvisorSandbox()
        case "vm":
            from proofrig.sandboxes.vm import VmSandbox

            return VmSandbox(limits=limits)
